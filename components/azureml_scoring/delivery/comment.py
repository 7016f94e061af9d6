"""One comment on a pull request, recognised by its marker and edited in place.

Owns the two APIs and the environment variables of the two CIs. Refuses to own the text (`report.py`), and never edits
a comment of another author. Tokens appear in no error.

GitHub: https://docs.github.com/rest/issues/comments
Azure DevOps: https://learn.microsoft.com/rest/api/azure/devops/git/pull-request-threads
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry

from azureml_scoring.delivery.report import LIMITS, MARKER
from azureml_scoring.errors import CommandError

ATTEMPTS: Final = 5
LONGEST_WAIT: Final = 60.0
"""Longest wait before another attempt, in seconds, whatever the server asks for."""
_TIMEOUT: Final = 30
"""Seconds."""
_ACTIONS: Final = "github-actions[bot]"


class CommentError(CommandError):
    """The comment was not written; one line that says why, without the token."""

    def __init__(self, line: str, retry_after: float | None = None) -> None:
        super().__init__(line)
        self.retry_after = retry_after
        """Seconds after which another attempt may succeed; None: it will not."""


class _Retry(Retry):
    """Repeats reads and edits that failed for a moment; GitHub limits with 403 as well."""

    RETRY_AFTER_STATUS_CODES = frozenset({403, 429, 503})

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return how long the server asks to wait, a minute at most."""
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(seconds, LONGEST_WAIT)


_RETRY: Final = _Retry(
    ATTEMPTS - 1,
    allowed_methods={"GET", "PATCH"},
    status_forcelist={429, 500, 502, 503, 504},
    backoff_factor=1,
    raise_on_status=False,
)


class _Token(requests.auth.AuthBase):
    """Sends the token; without it, requests would take credentials from .netrc."""

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


@dataclass(frozen=True)
class Client:
    """An API with a token."""

    base: str
    token: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.auth = _Token(self.token)
        session.headers.update({"User-Agent": "azureml-scoring", **self.headers})
        session.mount(self.base, HTTPAdapter(max_retries=_RETRY))
        return session

    def ask(self, method: str, url: str, body: object = None) -> requests.Response:
        """Return a successful answer."""
        where = f"{method} {urlsplit(url).netloc}{urlsplit(url).path}"
        try:
            answer = self._session.request(method, url, json=body, timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise CommentError(self._clean(f"{where}: no answer ({type(error).__name__})"), 1.0) from None
        if answer.ok:
            return answer
        line = self._clean(f"{where}: {answer.status_code} {_reason(answer)}")
        if _RETRY.is_retry("GET", answer.status_code, "Retry-After" in answer.headers):
            raise CommentError(line, _RETRY.get_retry_after(answer.raw) or 1.0)
        raise CommentError(f"{line}{_REMEDIES.get(answer.status_code, '')}")

    def pages(self, path: str) -> Iterator[Any]:
        """Yield the pages of a list, by the Link header; one on another host is refused, as it would get the token."""
        url: str | None = f"{self.base}{path}"
        while url:
            answer = self.ask("GET", url)
            yield read(answer)
            url = answer.links.get("next", {}).get("url")
            if url and urlsplit(url)[:2] != urlsplit(self.base)[:2]:
                raise CommentError(f"{urlsplit(self.base).netloc}: the next page lies on another host; not followed")

    def _clean(self, line: str) -> str:
        return line.replace(self.token, "[secret]") if self.token else line


_REMEDIES: Final = {
    401: "; the token is not accepted; use the job's own",
    403: "; the token may not comment; GitHub needs `permissions: pull-requests: write`, Azure DevOps the build"
    " service's right to contribute to pull requests",
    404: "; check repository and pull request, and that the token sees them",
}


def _reason(answer: requests.Response) -> str:
    try:
        document = answer.json()
    except ValueError:
        return answer.reason
    message = document.get("message") if isinstance(document, dict) else None
    return " ".join(str(message or answer.reason).split())[:200]


def read(answer: requests.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the answer's JSON. Azure DevOps answers a bad token with 203 and a page to sign in."""
    try:
        return answer.json()
    except ValueError:
        where = urlsplit(answer.url).netloc
        raise CommentError(f"{where}: {answer.status_code} without JSON; the token is not accepted") from None


@dataclass(frozen=True)
class GitHub:
    """A pull request on GitHub, or on GitHub Enterprise by GITHUB_API_URL."""

    client: Client
    repository: str
    number: int
    kind: str = "github"

    @property
    def _comments(self) -> str:
        return f"/repos/{self.repository}/issues/{self.number}/comments"

    def mine(self) -> list[str]:
        """Return the URLs of this token's own comments with the marker, the oldest first."""
        login = self._login()
        return [
            f"{self.client.base}/repos/{self.repository}/issues/comments/{int(comment['id'])}"
            for page in self.client.pages(f"{self._comments}?per_page=100")
            for comment in page
            if (comment.get("body") or "").startswith(MARKER) and (comment.get("user") or {}).get("login") == login
        ]

    def _login(self) -> str:
        """Return the token's owner. A job's own token may not ask: it belongs to the bot of Actions."""
        try:
            return str(read(self.client.ask("GET", f"{self.client.base}/user"))["login"])
        except CommentError as error:
            if ": 403 " in str(error) and error.retry_after is None:
                return _ACTIONS
            raise

    def create(self, body: str) -> None:
        """Write a new comment; the caller repeats it."""
        self.client.ask("POST", f"{self.client.base}{self._comments}", {"body": body})

    def edit(self, address: str, body: str) -> None:
        """Replace a comment's text."""
        self.client.ask("PATCH", address, {"body": body})


@dataclass(frozen=True)
class AzureDevOps:
    """A pull request in Azure Repos; each comment opens a thread, which is closed, as it asks for no answer."""

    client: Client
    project: str
    repository: str
    number: int
    kind: str = "azure-devops"

    @property
    def _threads(self) -> str:
        project, repository = quote(self.project, safe=""), quote(self.repository, safe="")
        return f"{self.client.base}/{project}/_apis/git/repositories/{repository}/pullRequests/{self.number}/threads"

    def mine(self) -> list[str]:
        """Return the URLs of this token's own comments with the marker, the oldest first."""
        connection = read(self.client.ask("GET", f"{self.client.base}/_apis/connectionData?api-version=7.1-preview"))
        me = connection["authenticatedUser"]["id"]
        threads = read(self.client.ask("GET", f"{self._threads}?api-version=7.1"))["value"]
        return [
            f"{self._threads}/{int(thread['id'])}/comments/{int(comment['id'])}?api-version=7.1"
            for thread in threads
            if not thread.get("isDeleted")
            for comment in (thread.get("comments") or [])[:1]
            if not comment.get("isDeleted")
            and (comment.get("content") or "").startswith(MARKER)
            and (comment.get("author") or {}).get("id") == me
        ]

    def create(self, body: str) -> None:
        """Write a new comment; the caller repeats it."""
        comment = {"parentCommentId": 0, "content": body, "commentType": "text"}
        url = f"{self._threads}?api-version=7.1"
        read(self.client.ask("POST", url, {"comments": [comment], "status": "closed"}))

    def edit(self, address: str, body: str) -> None:
        """Replace a comment's text."""
        read(self.client.ask("PATCH", address, {"content": body}))


PullRequest = GitHub | AzureDevOps


def post(pull_request: PullRequest, body: str) -> str:
    """Create the comment, or edit the one that exists; return which.

    A creation may have happened although it failed: before it is repeated, the comments are read again.
    """
    if not body.startswith(MARKER):
        raise CommentError("the report has no marker in its first line; write it by `azureml-scoring report`")
    if len(body) > LIMITS[pull_request.kind]:
        raise CommentError(
            f"the report has {len(body)} characters, {pull_request.kind} takes {LIMITS[pull_request.kind]};"
            f" write it with `--limit {pull_request.kind}`"
        )
    for attempt in range(1, ATTEMPTS + 1):
        if comments := pull_request.mine():
            pull_request.edit(comments[0], body)
            return "edited"
        try:
            pull_request.create(body)
        except CommentError as error:
            if error.retry_after is None or attempt == ATTEMPTS:
                raise
            time.sleep(error.retry_after)
        else:
            return "created"
    raise AssertionError


def pull_request_of(kind: str, environment: Mapping[str, str], pull_request: int | None = None) -> PullRequest:
    """Return the pull request that a CI's environment variables name."""
    if kind == "github":
        base = environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        repository = _required(environment, "GITHUB_REPOSITORY")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise CommentError(f"GITHUB_REPOSITORY = {repository!r}: write owner/name")
        number = pull_request or _number(environment.get("GITHUB_REF", ""), r"refs/pull/(\d+)/.*", "GITHUB_REF")
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        token = _required(environment, "GITHUB_TOKEN")
        return GitHub(Client(_safe(base, "GITHUB_API_URL"), token, headers=headers), repository, number)
    base = _required(environment, "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI").rstrip("/")
    name = "SYSTEM_PULLREQUEST_PULLREQUESTID"
    return AzureDevOps(
        Client(_safe(base, "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"), _required(environment, "SYSTEM_ACCESSTOKEN")),
        _required(environment, "SYSTEM_TEAMPROJECT"),
        _required(environment, "BUILD_REPOSITORY_ID"),
        pull_request or _number(environment.get(name, ""), r"(\d+)", name),
    )


def _safe(base: str, name: str) -> str:
    """Return a URL that may get the token: https, or this machine."""
    parts = urlsplit(base)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}):
        return base
    raise CommentError(f"{name}: {parts.scheme or 'no'}:// would send the token in plain text; write https://")


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise CommentError(f"{name} is not set; run this in a pull request's job, or set it")
    return value


def _number(value: str, pattern: str, name: str) -> int:
    match = re.fullmatch(pattern, value)
    if not match:
        raise CommentError(f"{name} = {value!r} names no pull request; add --pull-request NUMBER")
    return int(match.group(1))
