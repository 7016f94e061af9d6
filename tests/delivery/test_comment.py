"""One comment, edited in place, on pull requests with any number of comments, on either service."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azureml_scoring.delivery.comment import CommentError, GitHub, PullRequest, post, pull_request_of
from azureml_scoring.delivery.report import MARKER

from tests.delivery.apis import BOT, PAGE, TOKEN, Double, serving

FIRST, SECOND = f"{MARKER}\nfirst", f"{MARKER}\nsecond"


@pytest.fixture
def double() -> Iterator[Double]:
    with serving() as double:
        yield double


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for; nothing sleeps."""
    seconds: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", seconds.append)
    return seconds


@pytest.fixture
def github(double: Double) -> PullRequest:
    return pull_request_of("github", _github(double))


@pytest.fixture
def devops(double: Double) -> PullRequest:
    return pull_request_of("azure-devops", _devops(double))


def _github(double: Double) -> dict[str, str]:
    return {
        "GITHUB_API_URL": double.url,
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_TOKEN": TOKEN,
    }


def _devops(double: Double) -> dict[str, str]:
    return {
        "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": f"{double.url}/org/",
        "SYSTEM_TEAMPROJECT": "our project",
        "BUILD_REPOSITORY_ID": "repo-id",
        "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
        "SYSTEM_ACCESSTOKEN": TOKEN,
    }


def test_github_gets_one_comment_that_is_edited_in_place(double: Double, github: PullRequest) -> None:
    assert [post(github, FIRST), post(github, SECOND)] == ["created", "edited"]
    assert [comment["body"] for comment in double.comments] == [SECOND]


def test_the_comment_is_found_on_the_third_page(double: Double, github: PullRequest) -> None:
    for n in range(2 * PAGE + 50):
        double.add(f"talk {n}")
    ours = double.add(FIRST, BOT)
    for n in range(40):
        double.add(f"more talk {n}")
    assert post(github, SECOND) == "edited"
    assert ours["body"] == SECOND
    assert double.requests.count("GET /repos/owner/name/issues/7/comments") == 3
    assert sum(comment["body"].startswith(MARKER) for comment in double.comments) == 1


def test_a_comment_of_somebody_else_is_never_edited(double: Double, github: PullRequest) -> None:
    theirs = double.add(f"{MARKER}\nnot ours")
    assert post(github, FIRST) == "created"
    assert theirs["body"].endswith("not ours")


def test_a_quoted_marker_is_no_comment_of_ours(double: Double, github: PullRequest) -> None:
    double.add(f"> {MARKER}\nwhat a nice report", BOT)
    assert post(github, FIRST) == "created"


def test_azure_devops_gets_one_closed_thread_that_is_edited_in_place(double: Double, devops: PullRequest) -> None:
    double.add_thread(f"{MARKER}\nnot ours")
    double.add_thread(f"{MARKER}\ndeleted", "build-service", deleted=True)
    assert [post(devops, FIRST), post(devops, SECOND)] == ["created", "edited"]
    assert [thread["comments"][0]["content"] for thread in double.threads][2:] == [SECOND]
    assert double.threads[2]["status"] == "closed"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_waited_out_as_long_as_the_server_asks(
    double: Double, github: PullRequest, waits: list[float], status: int
) -> None:
    double.faults = [("GET", status, {"Retry-After": "7"}), ("POST", status, {"Retry-After": "3"})]
    assert post(github, FIRST) == "created"
    assert waits == [7.0, 3.0]
    assert len(double.comments) == 1


def test_a_rate_limit_is_waited_out_but_not_for_ever(double: Double, github: PullRequest, waits: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1))
    double.faults = [("PATCH", 403, {"Retry-After": later})]
    double.add(FIRST, BOT)
    assert post(github, SECOND) == "edited"
    assert waits == [60.0]


def test_a_creation_whose_answer_is_lost_is_not_repeated(double: Double, github: PullRequest) -> None:
    double.lose_answer = True
    assert post(github, FIRST) == "edited"
    assert len(double.comments) == 1


def test_a_failure_that_stays_is_told_in_one_line_without_the_token(double: Double, github: PullRequest) -> None:
    double.faults = [("POST", 503, {}) for _ in range(9)]
    with pytest.raises(CommentError) as error:
        post(github, FIRST)
    assert str(error.value).endswith("503 refused [secret]")
    assert TOKEN not in repr(github)


@pytest.mark.parametrize("kind", ["github", "azure-devops"])
def test_a_token_that_is_not_accepted_is_told(double: Double, kind: str) -> None:
    environment = _github(double) if kind == "github" else _devops(double)
    name = "GITHUB_TOKEN" if kind == "github" else "SYSTEM_ACCESSTOKEN"
    with pytest.raises(CommentError, match="token is not accepted") as error:
        post(pull_request_of(kind, environment | {name: "wrong-token"}), FIRST)
    assert "wrong-token" not in str(error.value)


def test_the_token_is_not_sent_to_another_host_that_a_page_names(double: Double, github: PullRequest) -> None:
    double.next_host = "http://127.0.0.2:9"
    for n in range(PAGE + 1):
        double.add(f"talk {n}")
    with pytest.raises(CommentError, match="another host"):
        post(github, FIRST)


@pytest.mark.parametrize("body", ["no marker", f"{MARKER}\n" + "x" * 70_000])
def test_what_no_service_takes_is_not_sent(double: Double, github: PullRequest, body: str) -> None:
    with pytest.raises(CommentError, match=r"azureml-scoring report|--limit github"):
        post(github, body)
    assert not double.requests


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"GITHUB_REPOSITORY": ""}, "GITHUB_REPOSITORY is not set"),
        ({"GITHUB_REPOSITORY": "../../user"}, "write owner/name"),
        ({"GITHUB_REF": "refs/heads/main"}, "--pull-request"),
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_API_URL": "http://example.com"}, "plain text"),
    ],
)
def test_an_environment_that_names_no_pull_request_is_told(double: Double, changed: dict[str, str], words: str) -> None:
    with pytest.raises(CommentError, match=words) as error:
        pull_request_of("github", _github(double) | changed)
    assert "\n" not in str(error.value)


def test_a_pull_request_can_be_named(double: Double) -> None:
    pull_request = pull_request_of("github", _github(double) | {"GITHUB_REF": "refs/heads/main"}, 12)
    assert isinstance(pull_request, GitHub)
    assert pull_request.number == 12
