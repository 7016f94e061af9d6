"""The Pulumi engine and its language hosts, of the version that the Python SDK is pinned to.

Owns finding them (PATH, official bundle, build from Go modules, in this order) and keeping them in the cache. Hosts of
other languages than Python are built only when somebody asks for one. Refuses to touch the user's own Pulumi: no login,
no plugin folder, no installation outside the cache.
"""

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import gobuild
from tools.shell import ToolError, alone, cache, one_line, progress, run, say, scratch, which

_SHOWN_VERSION = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)\b")
_OFFICIAL_SECONDS = 300
_ENGINE = "pulumi"
_LANGUAGE_HOST = "pulumi-language-python"
# What the language host starts beside itself: the program runner and the provider of dynamic resources.
_SHIMS = ("pulumi-language-python-exec", "pulumi-resource-pulumi-python")
_SDK = "github.com/pulumi/pulumi/sdk/v3"

Version = tuple[int, int, int]


def parse_version(text: str) -> Version:
    """`v3.259.0`, `3.259.1-dev` or a line that holds one."""
    found = _SHOWN_VERSION.search(text)
    if found is None:
        raise ToolError(f"version: {one_line(text)[:80]!r} is none; expected something like v3.259.0")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def wanted() -> str:
    """The version of the Python SDK: engine and SDK belong together."""
    return importlib.metadata.version("pulumi")


def fits(version: Version, pinned: Version) -> bool:
    """Whether an engine of that version can serve the pinned SDK: same minor version."""
    return version[:2] == pinned[:2]


def ensure() -> Path:
    """The folder that holds a fitting `pulumi` with its Python language host."""
    on_path = _on_path()
    if on_path is not None:
        return on_path
    place = cache() / "toolchain" / wanted()
    if _complete(place / "bin"):
        return place / "bin"
    with alone("toolchain"):
        if not _complete(place / "bin"):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            with scratch("toolchain") as folder:
                if not _official(folder / "official"):
                    _build(folder / "built" / "bin")
                    (folder / "built").rename(place)
                else:
                    (folder / "official").rename(place)
            if not _complete(place / "bin"):
                raise ToolError(f"{place}: Pulumi {wanted()} does not run there; remove the folder and try again")
    return place / "bin"


def language(name: str) -> Path:
    """The folder that holds the language host of `nodejs` or `yaml`: the official bundle's, else built here."""
    host = f"pulumi-language-{name}"
    bundled = ensure()
    if (bundled / host).exists():
        return bundled
    return _built(f"{wanted()}-{name}", LANGUAGES[name])


def builder() -> Path:
    """The folder that holds the provider pulumi-docker-build, and a BuildKit that it can build with."""
    version = importlib.metadata.version("pulumi-docker-build")
    return _built(f"docker-build-{version}", BUILDER, f"-s -w -X {_DOCKER_BUILD}.Version={version}")


def reader() -> Path:
    """The program that reads Dockerfiles, ignore files and image names with Docker's own code, for the tests."""
    return _built("docker-read", (("docker-read", ".", "docker-read"),)) / "docker-read"


def _built(name: str, programs: Sequence[tuple[str, str, str]], flags: str = "-s -w") -> Path:
    """The folder that holds some programs, built once for what pins them."""
    mark = gobuild.mark(*{module for module, _, _ in programs})
    place = cache() / "toolchain" / f"{name}-{mark}"
    if not place.exists():
        with alone(name):
            if not place.exists():
                with scratch(name) as folder:
                    for module, package, program in programs:
                        gobuild.build(module, package, folder / "bin" / program, flags=flags)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    (folder / "bin").rename(place)
    return place


LANGUAGES = {
    # Pulumi's own host, of the last version that a module has, and our bridge that adds `pulumi package add` to it.
    "nodejs": (
        ("language-nodejs", ".", "pulumi-language-nodejs"),
        ("language-nodejs-3.68", f"{_SDK}/nodejs/cmd/pulumi-language-nodejs", "pulumi-language-nodejs-3.68"),
    ),
    "yaml": (("language-yaml", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml", "pulumi-language-yaml"),),
}
"""Folder below `tools/go`, package and name of each program that a language needs."""

_DOCKER_BUILD = "github.com/pulumi/pulumi-docker-build/provider"
BUILDER = (
    ("docker-build", f"{_DOCKER_BUILD}/cmd/pulumi-resource-docker-build", "pulumi-resource-docker-build"),
    ("docker-build", "github.com/moby/buildkit/cmd/buildkitd", "buildkitd"),
)
"""The same of the provider and of BuildKit. Two generators of SDKs that the provider's schema names are stubs there."""


def _on_path() -> Path | None:
    engine, host = which(_ENGINE), which(_LANGUAGE_HOST)
    if engine is None or host is None:
        return None
    return engine.parent if _is_right(engine) else None


def _is_right(engine: Path) -> bool:
    try:
        shown = run([engine, "version"], what="pulumi version", environment=_QUIET, timeout=60)
        return fits(parse_version(shown), parse_version(wanted()))
    except ToolError:
        return False


def _complete(folder: Path) -> bool:
    programs = (_ENGINE, _LANGUAGE_HOST, _SHIMS[0])
    return all(os.access(folder / program, os.X_OK) for program in programs) and _is_right(folder / _ENGINE)


_QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}


def _official(folder: Path) -> bool:
    """Pulumi's own bundle; False where it cannot be had."""
    install = (
        "import sys; from pulumi.automation import PulumiCommand; from semver import VersionInfo; "
        "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
    )
    try:
        with progress(f"Getting the official Pulumi {wanted()}"):
            run(
                [sys.executable, "-c", install, folder, wanted()],
                what="official Pulumi",
                environment=_QUIET,
                timeout=_OFFICIAL_SECONDS,
            )
    except ToolError as error:
        say(f"  {str(error)[:200]}; building it instead")
        return False
    return _complete(folder / "bin")


def _build(folder: Path) -> None:
    folder.mkdir(parents=True)
    version = wanted()
    stamp = f"-s -w -X {_SDK}/go/common/version.Version={version}"
    gobuild.build("pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", folder / _ENGINE, flags=stamp)
    if not _is_right(folder / _ENGINE):
        raise ToolError(
            f"tools/go/pulumi/go.mod: builds another version than the pinned SDK's {version}; "
            "bring go.mod and pyproject.toml to the same version"
        )
    gobuild.build("language-python", f"{_SDK}/python/cmd/{_LANGUAGE_HOST}", folder / _LANGUAGE_HOST)
    source = gobuild.module_folder("pulumi", _SDK) / "python"
    for shim in _SHIMS:
        (found,) = [path for path in (source / "cmd" / shim, source / "dist" / shim) if path.exists()]
        shutil.copyfile(found, folder / shim)
        (folder / shim).chmod(0o755)
