"""GitHub and Azure DevOps as far as comments on pull requests go: their paths, pages, headers and refusals."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BOT = "github-actions[bot]"
TOKEN = "made-up-token-of-nobody"
PAGE = 100


class Double(ThreadingHTTPServer):
    """What both services keep, and what the next requests are answered with instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments: list[dict[str, Any]] = []
        self.threads: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.faults: list[tuple[str, int, dict[str, str]]] = []
        """Method, status and headers of refusals that come first, one each."""
        self.lose_answer = False
        """The next creation happens, and its answer is a 502."""
        self.next_host = ""
        """Another host in the Link header."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

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


class _Handler(BaseHTTPRequestHandler):
    server: Double

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        double, parts = self.server, urlsplit(self.path)
        double.requests.append(f"{self.command} {parts.path}")
        for fault in double.faults:
            if fault[0] == self.command:
                double.faults.remove(fault)
                return self._answer(fault[1], {"message": f"refused {TOKEN}"}, fault[2])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            if "_apis" in parts.path:  # Azure DevOps shows its page to sign in
                return self._answer(203, "<html>Sign in</html>", {"Content-Type": "text/html"})
            return self._answer(401, {"message": "Bad credentials"})
        answer = self._devops if "_apis" in parts.path else self._github
        return answer(parts.path, parse_qs(parts.query), body)

    def _github(self, path: str, query: dict[str, list[str]], body: Any) -> None:  # noqa: ANN401
        double = self.server
        if path == "/user":
            return self._answer(403, {"message": "Resource not accessible by integration"})
        if path == "/repos/owner/name/issues/7/comments" and self.command == "GET":
            size, page = min(PAGE, int(query.get("per_page", ["30"])[0])), int(query.get("page", ["1"])[0])
            comments = double.comments[(page - 1) * size : page * size]
            host = double.next_host or double.url
            links = {"Link": f'<{host}{path}?per_page={size}&page={page + 1}>; rel="next"'}
            return self._answer(200, comments, links if page * size < len(double.comments) else {})
        if path == "/repos/owner/name/issues/7/comments":
            made = double.add(body["body"], BOT)
            lost, double.lose_answer = double.lose_answer, False
            return self._answer(502, {"message": "lost"}) if lost else self._answer(201, made)
        if match := re.fullmatch(r"/repos/owner/name/issues/comments/(\d+)", path):
            for comment in double.comments:
                if comment["id"] == int(match.group(1)):
                    comment["body"] = body["body"]
                    return self._answer(200, comment)
        return self._answer(404, {"message": "Not Found"})

    def _devops(self, path: str, query: dict[str, list[str]], body: Any) -> None:  # noqa: ANN401
        double, base = self.server, "/org/our%20project/_apis/git/repositories/repo-id/pullRequests/7/threads"
        if "api-version" not in query:
            return self._answer(400, {"message": "No api-version was supplied"})
        if path == "/org/_apis/connectionData":
            return self._answer(200, {"authenticatedUser": {"id": "build-service"}})
        if path == base and self.command == "GET":
            return self._answer(200, {"value": double.threads, "count": len(double.threads)})
        if path == base:
            made = double.add_thread(body["comments"][0]["content"], "build-service")
            made["status"] = body["status"]
            return self._answer(200, made)
        if match := re.fullmatch(rf"{re.escape(base)}/(\d+)/comments/1", path):
            for thread in double.threads:
                if thread["id"] == int(match.group(1)):
                    thread["comments"][0]["content"] = body["content"]
                    return self._answer(200, thread["comments"][0])
        return self._answer(404, {"message": "TF401180: The requested pull request was not found."})

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        sent = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


@contextmanager
def serving() -> Iterator[Double]:
    """Both services on a free port."""
    double = Double()
    thread = threading.Thread(target=double.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.shutdown()
        double.server_close()
        thread.join()
