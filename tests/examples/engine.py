"""The real Docker engine, as the tests of the example drive it."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from tools import base_image

PROJECT = Path(__file__).parents[2] / "examples" / "sklearn"
PATIENCE = 300.0
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108 - the container's


class Engine:
    """The Docker CLI, in the variant that can build with BuildKit."""

    def __init__(self, program: str) -> None:
        self.program = program

    def run(self, *words: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; both streams come back as one."""
        done = subprocess.run(
            [self.program, *words],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout[-4000:]
        return done

    def build(self, context: Path, tag: str, *words: str, secret: Path | None = None) -> str:
        """Build an image of a folder and return the log."""
        given = secret or certificates()
        secrets = ["--secret", f"id=pip-ca,src={given}"] if given else []
        base = f"BASE={base_image.NAME}"
        return self.run(
            "build", "--progress=plain", "--build-arg", base, *secrets, "--tag", tag, *words, str(context)
        ).stdout

    def python(self, image: str, code: str, *, files: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Run code inside an image and return the JSON of its last line; files are put below /tmp first."""
        lay = "import json, pathlib\n" + "".join(
            f"pathlib.Path('/tmp/{name}').write_text({text!r})\n" for name, text in (files or {}).items()
        )
        done = self.run("run", "--rm", "--interactive", *HARDENED, image, "python", "-", given=lay + code)
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def container(self, image: str, *words: str) -> Iterator[str]:
        """Run a container in the background and remove it at the end."""
        made = self.run("run", "--detach", *HARDENED, "--publish", "127.0.0.1::5001", *words, image).stdout.strip()
        try:
            yield made
        finally:
            self.run("rm", "--force", "--volumes", made)

    def state(self, container: str) -> dict[str, Any]:
        """The engine's word on a container."""
        found: dict[str, Any] = json.loads(self.run("inspect", "--format", "{{json .State}}", container).stdout)
        return found

    def address(self, container: str) -> str:
        """Wait until a container serves, and return its address."""
        until(lambda: not self.state(container)["Running"] or self.healthy(container), "the container to serve")
        assert self.state(container)["Running"], self.run("logs", container).stdout[-4000:]
        return self.published(container)

    def published(self, container: str) -> str:
        """The address that the engine gave a container's port."""
        return "http://" + self.run("port", container, "5001/tcp").stdout.splitlines()[0].strip()

    def healthy(self, container: str) -> bool:
        """Whether a container answers its health path."""
        try:
            return httpx.get(self.published(container), timeout=10).status_code == HTTPStatus.OK
        except httpx.TransportError:
            return False


def until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition; fail with what was waited for."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(0.2)


def certificates() -> Path | None:
    """The CA bundle that this machine's own pip uses, where it is told one."""
    told = (os.environ.get(name, "") for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))
    return next((Path(path) for path in told if path and Path(path).is_file()), None)
