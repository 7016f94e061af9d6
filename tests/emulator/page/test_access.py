"""Who may open the page, asked as a browser asks."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from emulator.protocols.page import access, server
from emulator.protocols.web import listening
from tests.emulator.conftest import InProcessAzure

CHANGE = {"name": "build-fails", "on": True}


@pytest.fixture
def page(local: InProcessAzure) -> Iterator[server.Page]:
    made = server.Page(local.azure)
    with listening(made.application, local.azure.ports.bind(server.PORT), None):
        yield made
        made.close()


@pytest.fixture
def client(page: server.Page) -> Iterator[httpx.Client]:
    parts = urlsplit(page.link())
    with httpx.Client(base_url=f"http://{parts.netloc}", trust_env=False) as found:
        yield found


def own(client: httpx.Client) -> dict[str, str]:
    """The header that a browser sends with the page's own requests."""
    return {"Origin": str(client.base_url).rstrip("/")}


def follow(client: httpx.Client, link: str) -> httpx.Response:
    parts = urlsplit(link)
    return client.get(f"{parts.path}?{parts.query}")


def test_without_the_link_nothing_is_shown(client: httpx.Client) -> None:
    for path in ("/", "/data/overview", "/events/overview", "/data/nothing"):
        assert client.get(path).status_code == 401, path
    assert client.post("/faults", json=CHANGE, headers=own(client)).status_code == 401


def test_a_link_opens_one_session_and_is_used_up(page: server.Page, client: httpx.Client) -> None:
    link = page.link()
    assert follow(client, link).status_code == 200
    assert client.get("/data/overview").status_code == 200
    client.cookies.clear()
    again = follow(client, link)
    assert (again.status_code, "make page" in again.text) == (401, True)
    assert client.get("/data/overview").status_code == 401


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(page: server.Page, client: httpx.Client) -> None:
    cookie = follow(client, page.link()).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Domain" not in cookie


def test_an_old_link_opens_nothing(page: server.Page, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LINK_SECONDS", 0.0)
    assert follow(client, page.link()).status_code == 401


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example:4000", "localhost.", ""])
def test_another_host_name_is_refused_even_with_a_session(page: server.Page, client: httpx.Client, host: str) -> None:
    follow(client, page.link())
    assert client.get("/data/overview", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:4000", "localhost:4000", "LOCALHOST:1", "[::1]:4000", "localhost"])
def test_the_names_of_this_machine_are_served(host: str) -> None:
    access.check_origin("GET", {"host": host})


@pytest.mark.parametrize("origin", ["http://127.0.0.1:4001", "https://attacker.example", "null", None])
def test_another_origin_changes_nothing(
    page: server.Page, client: httpx.Client, local: InProcessAzure, origin: str | None
) -> None:
    follow(client, page.link())
    headers = {} if origin is None else {"Origin": origin}
    assert client.post("/faults", json=CHANGE, headers=headers).status_code == 403
    assert local.azure.faults == {}
    assert client.post("/faults", json=CHANGE, headers=own(client)).status_code == 200
    assert local.azure.faults == {"build-fails": True}


def test_every_answer_forbids_other_sources_and_framing(page: server.Page, client: httpx.Client) -> None:
    for answer in (client.get("/"), follow(client, page.link()), client.get("/"), client.get("/static/page.js")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["../server.py", "%2e%2e/server.py", "nothing.js", "views", "/etc/passwd"])
def test_only_the_pages_files_are_served(client: httpx.Client, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_the_pages_files_name_no_other_host() -> None:
    folder = Path(server.__file__).parent / "static"
    for file in folder.rglob("*.*"):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", ""), file
