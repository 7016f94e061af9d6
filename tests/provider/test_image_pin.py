"""Claims about pinning a tag: looked up once, watched ever after, never followed."""

import base64
from dataclasses import dataclass, field

import pytest
from azure.core.exceptions import ServiceRequestError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.image_pin import ImagePin
from azureml_scoring.provider.values import UNKNOWN, Properties

from tests.provider.fake_azure import Answer, FakeAzure, Sent

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NAME = "reg.example.com/team/app"
PIN = ImagePin()


@dataclass
class FakeRegistry:
    """A registry with Docker's token protocol: one image, public or not."""

    azure: FakeAzure = field(default_factory=FakeAzure)
    tags: dict[str, str] = field(default_factory=lambda: {"v1": OLD, "latest": OLD})
    digests: set[str] = field(default_factory=lambda: {OLD, NEW})
    password: str = ""
    host: str = "reg.example.com"
    challenge: str = 'Bearer realm="https://auth.example.com/token",service="reg"'

    def __post_init__(self) -> None:
        self.azure.on("HEAD", f"https://{self.host}/v2/", self.manifest)
        self.azure.on("GET", "https://auth.example.com/token", self.token)

    def token(self, sent: Sent) -> Answer:
        assert sent.query == {"service": "reg", "scope": "repository:team/app:pull"}
        known = not self.password or sent.headers.get("Authorization") == _basic("me", self.password)
        return (200, {}, {"token": "leave"}) if known else (401, {}, None)

    def manifest(self, sent: Sent) -> Answer:
        if sent.headers.get("Authorization") not in {"Bearer leave", _basic("me", self.password)}:
            return 401, {"WWW-Authenticate": self.challenge}, None
        name = sent.path.rsplit("/", 1)[-1]
        digest = self.tags.get(name) or (name if name in self.digests else None)
        return (200, {"Docker-Content-Digest": digest}, None) if digest else (404, {}, None)

    def create(self, reference: str = f"{NAME}:v1", **more: str) -> Properties:
        return PIN.create(self.azure.context(), news(reference, **more))[1]


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def news(reference: str = f"{NAME}:v1", **more: str) -> Properties:
    checked = PIN.check({"reference": reference, **more})
    assert not checked.failures, checked.failures
    return checked.inputs


# -- looked up once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [f"{NAME}:v1", NAME])
def test_a_tag_is_pinned_to_its_digest(reference: str) -> None:
    registry = FakeRegistry()
    state = registry.create(reference)
    assert (state["image"], state["digest"], state["movedTo"]) == (f"{NAME}@{OLD}", OLD, "")
    assert not registry.azure.warned


def test_a_preview_knows_the_digest_already() -> None:
    registry = FakeRegistry()
    id_, state = PIN.create(registry.azure.context(preview=True), news())
    assert (id_, state["image"]) == ("", f"{NAME}@{OLD}")


def test_a_preview_without_a_network_does_not_fail() -> None:
    registry = FakeRegistry()

    def nobody(_: Sent) -> Answer:
        raise ServiceRequestError("Connection refused")

    registry.azure.on("HEAD", "", nobody)
    _, state = PIN.create(registry.azure.context(preview=True), news())
    assert (state["image"], state["digest"]) == (UNKNOWN, UNKNOWN)
    assert "will be looked up by the update: reg.example.com does not answer" in registry.azure.logged[0]
    with pytest.raises(ResourceError, match="does not answer"):
        registry.create()


def test_a_tag_that_is_not_there_fails_the_preview_in_one_line() -> None:
    registry = FakeRegistry()
    with pytest.raises(ResourceError, match=r"^reg.example.com/team/app:v9 is not in the registry; correct the tag"):
        PIN.create(registry.azure.context(preview=True), news(f"{NAME}:v9"))


def test_an_image_by_digest_is_asked_for_once_with_the_password() -> None:
    registry, reference = FakeRegistry(password="right"), f"{NAME}@{OLD}"
    right = news(reference, username="me", password="right")
    wrong = news(reference, username="me", password="wrong")
    with pytest.raises(
        ResourceError, match=r"^reg.example.com denies us to read team/app \(HTTP 401\); check registry"
    ):
        PIN.create(registry.azure.context(preview=True), wrong)
    id_, state = PIN.create(registry.azure.context(), right)
    assert (id_, state["image"]) == (reference, reference)
    asked = len(registry.azure.sent)
    PIN.warn_on_diff(registry.azure.context(), state, right)
    read = PIN.read(registry.azure.context(), id_, state, right)
    assert read is not None
    assert (read.state["movedTo"], len(registry.azure.sent), registry.azure.warned) == ("", asked, [])


# -- a tag that moves ------------------------------------------------------------------------------------------------


def test_a_moved_tag_is_told_with_both_digests_and_is_no_difference() -> None:
    registry = FakeRegistry()
    state = registry.create()
    registry.tags["v1"] = NEW
    PIN.warn_on_diff(registry.azure.context(), state, news())
    assert registry.azure.warned == [
        f"{NAME}:v1 was moved from {OLD} to {NEW}; {OLD} stays deployed; to take the new one, write {NAME}:v1@{NEW}"
    ]
    assert not PIN.diff("", state, news()).changed


def test_a_refresh_finds_the_difference_and_an_update_keeps_what_is_pinned() -> None:
    registry = FakeRegistry()
    state = registry.create()
    registry.tags["v1"] = NEW
    result = PIN.read(registry.azure.context(), f"{NAME}:v1", state, news())
    assert result is not None
    assert result.state == {**state, "movedTo": NEW}
    assert PIN.diff("", result.state, news()).changed == {"movedTo"}
    assert PIN.update(registry.azure.context(), "id", result.state, news()) == state


def test_a_refresh_that_cannot_ask_keeps_what_is_pinned() -> None:
    registry = FakeRegistry()
    state = registry.create()
    registry.password = "changed"
    result = PIN.read(registry.azure.context(), f"{NAME}:v1", state, news())
    assert result is not None
    assert result.state == state
    assert f"{NAME}:v1 could not be looked up and stays at {OLD}: reg.example.com denies us" in registry.azure.warned[0]


def test_an_image_that_was_deleted_is_told_and_not_replaced_by_another() -> None:
    registry = FakeRegistry()
    state = registry.create()
    del registry.tags["v1"]
    registry.digests = {NEW}
    result = PIN.read(registry.azure.context(), f"{NAME}:v1", state, news())
    assert result is not None
    assert (result.state["digest"], result.state["movedTo"]) == (OLD, "nothing")
    PIN.warn_on_diff(registry.azure.context(), result.state, news())
    assert registry.azure.warned == [f"{NAME}:v1 was deleted; {OLD} stays deployed"]


def test_the_digest_behind_the_tag_accepts_the_move() -> None:
    registry = FakeRegistry()
    state = registry.create()
    registry.tags["v1"] = NEW
    accepted = news(f"{NAME}:v1@{NEW}")
    assert PIN.diff("", state, accepted).updated == {"reference"}
    assert PIN.update(registry.azure.context(preview=True), "id", state, accepted)["image"] == f"{NAME}@{NEW}"
    state = PIN.update(registry.azure.context(), "id", state, accepted)
    assert state["image"] == f"{NAME}@{NEW}"
    PIN.warn_on_diff(registry.azure.context(), state, accepted)
    assert not registry.azure.warned


def test_taking_the_digest_out_again_keeps_the_image() -> None:
    registry = FakeRegistry()
    state = registry.create(f"{NAME}:v1@{NEW}")
    assert registry.azure.warned, "the tag is elsewhere"
    state = PIN.update(registry.azure.context(), "id", state, news())
    assert state["digest"] == NEW


def test_a_digest_that_the_registry_has_not_is_refused() -> None:
    gone = "sha256:" + "c" * 64
    with pytest.raises(ResourceError, match=f"{gone} is not in the registry; write the digest of an image that is"):
        FakeRegistry().create(f"{NAME}:v1@{gone}")


def test_another_tag_is_looked_up_anew() -> None:
    registry = FakeRegistry()
    state = registry.create()
    registry.tags["v2"] = NEW
    assert PIN.update(registry.azure.context(preview=True), "id", state, news(f"{NAME}:v2"))["image"] is UNKNOWN
    assert PIN.update(registry.azure.context(), "id", state, news(f"{NAME}:v2"))["digest"] == NEW


def test_a_pin_is_imported_by_its_name() -> None:
    result = PIN.read(FakeRegistry().azure.context(), f"{NAME}:v1", {}, {})
    assert result is not None
    assert (result.resource_id, result.state["digest"]) == (f"{NAME}:v1", OLD)
    assert result.inputs == {"reference": f"{NAME}:v1"}


# -- who asks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("challenge", [None, 'Basic realm="somewhere"'])
def test_a_private_registry_is_asked_with_the_password(challenge: str | None) -> None:
    registry = FakeRegistry(password="hush")
    registry.challenge = challenge or registry.challenge
    assert registry.create(username="me", password="hush")["digest"] == OLD
    with pytest.raises(ResourceError, match=r"denies us to read team/app .*; check registry.username and its password"):
        registry.create(username="me", password="wrong")
    with pytest.raises(ResourceError, match=r"name who reads it by registry.mode: private"):
        registry.create()


def test_a_new_password_alone_is_no_difference_and_is_always_sealed() -> None:
    state = FakeRegistry(password="hush").create(username="me", password="hush")
    assert not PIN.diff("", state, news(username="me", password="new")).changed
    assert PIN.secret == {"password"}


def test_the_deployers_token_goes_to_no_registry_but_azures() -> None:
    registry = FakeRegistry(password="hush", host="evil.example.com")
    registry.challenge = 'Bearer realm="https://evil.example.com/oauth2/token",service="reg"'
    registry.azure.on("GET", "https://evil.example.com/oauth2/token", lambda _: (401, {}, None))
    with pytest.raises(ResourceError, match=r"evil.example.com denies us"):
        registry.create("evil.example.com/team/app:v1")
    assert not registry.azure.of("POST")
    assert not [sent for sent in registry.azure.sent if "Authorization" in sent.headers]


def test_azures_registry_is_asked_as_nobody_and_then_as_the_deployer() -> None:
    registry = FakeRegistry(password="hush", host="acr.azurecr.io")
    registry.challenge = 'Bearer realm="https://acr.azurecr.io/oauth2/token",service="acr.azurecr.io"'
    on = registry.azure.on
    on("GET", "https://acr.azurecr.io/oauth2/token", lambda _: (401, {}, None))
    on("POST", "https://acr.azurecr.io/oauth2/exchange", lambda _: (200, {}, {"refresh_token": "refresh"}))
    on("POST", "https://acr.azurecr.io/oauth2/token", lambda _: (200, {}, {"access_token": "leave"}))
    assert registry.create("acr.azurecr.io/team/app:v1")["digest"] == OLD


def test_docker_hub_is_asked_where_its_registry_answers() -> None:
    azure = FakeAzure()
    azure.on("HEAD", "https://registry-1.docker.io/v2/library/python/", lambda _: (200, _digest(OLD), None))
    state = PIN.create(azure.context(), news("docker.io/python:3.11"))[1]
    assert state["image"] == f"docker.io/python@{OLD}"


def test_no_password_travels_without_https() -> None:
    registry = FakeRegistry(password="hush")
    registry.challenge = 'Bearer realm="http://auth.example.com/token",service="reg"'
    with pytest.raises(ResourceError, match="which is not https; not followed"):
        registry.create(username="me", password="hush")


def _digest(digest: str) -> dict[str, str]:
    return {"Docker-Content-Digest": digest}


@pytest.mark.parametrize("reference", ["app:v1", "team/app:v1", f"{NAME}:", f"{NAME}@sha256:12"])
def test_a_name_that_is_none_is_refused(reference: str) -> None:
    (failure,) = PIN.check({"reference": reference}).failures
    assert failure.reason.startswith(f'reference = "{reference}": an image reference takes host/repository:tag')
