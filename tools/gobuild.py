"""Builds pinned Go programs: each folder below `tools/go` pins one program by go.mod and go.sum."""

import hashlib
import os
import shutil
from pathlib import Path

from tools.shell import ToolError, progress, run, scratch, which

_MODULES = Path(__file__).resolve().parent / "go"


def build(module: str, package: str, target: Path, *, flags: str = "-s -w") -> None:
    """Build one program; `module` is the folder that pins it, and may itself be the program (package `.`)."""
    go = which("go")
    if go is None:
        raise ToolError(
            f"{target.name} is neither on PATH nor to be had as a download, and there is no Go to build it with; "
            "install Go 1.26 or newer, or put the program on PATH"
        )
    # A copy: a newer Go may want to note its version in go.mod, and the tree must stay as it is.
    with scratch(f"go-{module}") as folder:
        shutil.copytree(_MODULES / module, folder, dirs_exist_ok=True)
        with progress(f"Building {target.name} from its Go module (once; some minutes)"):
            run(
                [go, "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", target, package],
                what=f"go build {package}",
                remedy="check the network (Go module proxy) and the Go version",
                environment=_environment(),
                folder=folder,
            )


def mark(*modules: str) -> str:
    """A short name of what pins some programs, and of the sources that lie there: another one, another program."""
    digest = hashlib.sha256()
    for file in sorted(path for module in modules for path in (_MODULES / module).rglob("*") if path.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def module_folder(module: str, path: str) -> Path:
    """Where Go keeps the source of a module that a program's module depends on; downloaded if need be."""
    go = which("go")
    if go is None:
        raise ToolError(f"no Go to get {path} with; install Go 1.26 or newer")
    with scratch(f"go-{module}") as folder:
        shutil.copytree(_MODULES / module, folder, dirs_exist_ok=True)
        found = run(
            [go, "list", "-mod=mod", "-m", "-f", "{{.Dir}}", path],
            what=f"go list {path}",
            remedy="check the network (Go module proxy)",
            environment=_environment(),
            folder=folder,
        ).strip()
    if not found:
        raise ToolError(f"go list {path}: Go names no folder; run `go clean -modcache` and try again")
    return Path(found.splitlines()[-1])


def _environment() -> dict[str, str]:
    # No C compiler is asked for, and a workspace or flags of the user's must not change what is built.
    return {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false", "HOME": str(Path.home()), **_proxy()}


def _proxy() -> dict[str, str]:
    return {"GOPROXY": proxy} if (proxy := os.environ.get("GOPROXY")) else {}
