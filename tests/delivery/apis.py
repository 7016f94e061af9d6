"""GitHub and Azure DevOps as far as comments on pull requests go: their paths, pages, headers and refusals."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.stub_server import Answer, Request, StubServer

BOT = "github-actions[bot]"
TOKEN = "made-up-token-of-nobody"
PAGE = 100


class Double(StubServer):
    """What both services keep, and what the next requests are answered with instead."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.comments: list[dict[str, Any]] = []
        self.threads: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.faults: list[tuple[str, int, dict[str, str]]] = []
        """Method, status and headers of refusals that come first, one each."""
        self.lose_answer = False
        """The next creation happens, and its answer is a 502."""
        self.next_host = ""
        """Another host in the Link header."""

    def add(self, body: str, login: str = "somebody") -> dict[str, Any]:
        """A comment on GitHub."""
        created = {"id": 1000 + len(self.comments), "body": body, "user": {"login": login}}
        self.comments.append(created)
        return created

    def add_thread(self, content: str, author: str = "somebody", *, deleted: bool = False) -> dict[str, Any]:
        """A thread in Azure Repos."""
        comment = {"id": 1, "content": content, "author": {"id": author}, "commentType": "text", "isDeleted": deleted}
        created = {"id": 500 + len(self.threads), "comments": [comment], "isDeleted": False, "status": "active"}
        self.threads.append(created)
        return created

    def _answer(self, request: Request) -> Answer:
        body = json.loads(request.content) if request.content else None
        method, parts = request.method, urlsplit(request.path)
        self.requests.append(f"{method} {parts.path}")
        for fault in self.faults:
            if fault[0] == method:
                self.faults.remove(fault)
                return Answer({"message": f"refused {TOKEN}"}, fault[1], fault[2])
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            if "_apis" in parts.path:  # Azure DevOps shows its page to sign in
                return Answer("<html>Sign in</html>", 203, {"Content-Type": "text/html"})
            return Answer({"message": "Bad credentials"}, 401)
        service = self._devops if "_apis" in parts.path else self._github
        return service(method, parts.path, parse_qs(parts.query), body)

    def _github(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:  # noqa: ANN401
        if path == "/user":
            return Answer({"message": "Resource not accessible by integration"}, 403)
        if path == "/repos/owner/name/issues/7/comments" and method == "GET":
            size, page = min(PAGE, int(query.get("per_page", ["30"])[0])), int(query.get("page", ["1"])[0])
            comments = self.comments[(page - 1) * size : page * size]
            host = self.next_host or self.url
            links = {"Link": f'<{host}{path}?per_page={size}&page={page + 1}>; rel="next"'}
            return Answer(comments, headers=links if page * size < len(self.comments) else {})
        if path == "/repos/owner/name/issues/7/comments":
            made = self.add(body["body"], BOT)
            lost, self.lose_answer = self.lose_answer, False
            return Answer({"message": "lost"}, 502) if lost else Answer(made, 201)
        if match := re.fullmatch(r"/repos/owner/name/issues/comments/(\d+)", path):
            for comment in self.comments:
                if comment["id"] == int(match.group(1)):
                    comment["body"] = body["body"]
                    return Answer(comment)
        return Answer({"message": "Not Found"}, 404)

    def _devops(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:  # noqa: ANN401
        base = "/org/our%20project/_apis/git/repositories/repo-id/pullRequests/7/threads"
        if "api-version" not in query:
            return Answer({"message": "No api-version was supplied"}, 400)
        if path == "/org/_apis/connectionData":
            return Answer({"authenticatedUser": {"id": "build-service"}})
        if path == base and method == "GET":
            return Answer({"value": self.threads, "count": len(self.threads)})
        if path == base:
            made = self.add_thread(body["comments"][0]["content"], "build-service")
            made["status"] = body["status"]
            return Answer(made)
        if match := re.fullmatch(rf"{re.escape(base)}/(\d+)/comments/1", path):
            for thread in self.threads:
                if thread["id"] == int(match.group(1)):
                    thread["comments"][0]["content"] = body["content"]
                    return Answer(thread["comments"][0])
        return Answer({"message": "TF401180: The requested pull request was not found."}, 404)


@contextmanager
def serving() -> Iterator[Double]:
    """Both services on a free port."""
    with Double().serving() as double:
        yield double
