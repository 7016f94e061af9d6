"""Which server an image starts, and where it listens.

Owns the reading of entry point, command and ports. Refuses to own where these come from. Pure.
https://learn.microsoft.com/azure/machine-learning/how-to-inference-server-http
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from azureml_scoring.plan.requirements.support import Findings

PORT: Final = 5001
"""Where Azure ML asks unless `routes.port` says otherwise."""
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "python", "python3", "ipython"})


@dataclass(frozen=True)
class Start:
    """What a container begins with."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """All of it."""
        return self.entrypoint + self.command

    @property
    def is_azmlinfsrv(self) -> bool:
        """Whether Azure ML's inference server is started."""
        return "azmlinfsrv" in " ".join(self.words) or "azureml_inference_server_http" in " ".join(self.words)

    @property
    def is_bare(self) -> bool:
        """Whether it is nothing, or a shell or interpreter without anything to do."""
        return not self.words or (len(self.words) == 1 and PurePosixPath(self.words[0]).name in _SHELLS)

    @property
    def port(self) -> int | None:
        """The port that the command names."""
        text = " ".join(self.words)
        found = re.search(r"(?:--port[= ]|-p )\s*(\d+)", text) or re.search(
            r"(?:-b|--bind)[= ]?\s*\S*?:(\d+)(?!\S)", text
        )
        return int(found[1]) if found else None


def judge_start(start: Start, exposed: Iterable[str], *, known: bool = True) -> Findings:
    """Judge what is started; `known` is false while a base image may still say it."""
    remedy = 'add CMD ["azmlinfsrv", "--entry_script", "score.py", "--port", "5001"], or start a server of your own'
    if known and start.is_bare:
        said = f"starts {start.words[0]} only" if start.words else "has no ENTRYPOINT and no CMD"
        yield "AML-IMG-013", f"the image {said}, so nothing answers; {remedy}"
        return
    ports = [int(found[1]) for text in exposed if (found := re.match(r"(\d+)", text))]
    port = start.port or (PORT if PORT in ports or not ports else ports[0])
    if port != PORT:
        yield (
            "AML-IMG-012",
            f"the server listens on {port}; listen on {PORT}, or set deployments.NAME.routes.port: {port}",
        )
