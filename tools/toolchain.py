"""The Pulumi command line of the SDK's version, with its Python language host: found, installed or built.

In this order: what is on PATH, what the cache has, the official bundle, a build from the Go modules. Owns the cached
tools; never touches the user's login, plugins or PATH.
"""

import re
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from tools.shell import ToolError, alone, cache, run, say

VERSION = version("pulumi")
"""The engine's version: the Python SDK's, which uv.lock pins."""

HOST = "v3.79.0"
"""The newest SDK module whose own Python language host can be built apart from Pulumi's repository."""

_NAMES = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")
_MODULES = {
    "cli": f"""module toolchain/cli
go 1.25
require github.com/pulumi/pulumi/pkg/v3 v{VERSION}
replace github.com/atotto/clipboard => github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e
""",
    "host": f"""module toolchain/host
go 1.24
require github.com/pulumi/pulumi/sdk/v3 {HOST}
""",
}
_PACKAGES = {
    "cli": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    "host": "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
}


def ensure() -> Path:
    """Return the folder that holds `pulumi` and its Python language host, making it where it is missing."""
    found = on_path()
    if found:
        return found
    with alone("toolchain"):
        folder = cache() / "toolchain" / VERSION
        if complete(folder / "bin"):
            return folder / "bin"
        return _official(folder) or _built(folder)


def on_path() -> Path | None:
    """The folder of the user's own Pulumi, where it has the right version and a Python language host."""
    pulumi, host = shutil.which("pulumi"), shutil.which("pulumi-language-python")
    if not pulumi or not host:
        return None
    told = subprocess.run([pulumi, "version"], capture_output=True, text=True, timeout=60, check=False).stdout
    return Path(pulumi).parent if same_minor(told) else None


def same_minor(told: str) -> bool:
    """Whether a `pulumi version` is of the SDK's minor version."""
    found = re.match(r"v?(\d+\.\d+)\.", told.strip())
    return bool(found) and VERSION.startswith(f"{found[1]}." if found else "")


def complete(folder: Path) -> bool:
    """Whether a folder has every tool."""
    return all((folder / name).exists() for name in _NAMES[:3])


def _official(folder: Path) -> Path | None:
    say(f"Pulumi {VERSION} is not here: asking for the official bundle")
    program = (
        "import sys; from pulumi.automation import PulumiCommand; from semver import VersionInfo;"
        "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
    )
    try:
        subprocess.run(
            [shutil.which("python") or "python3", "-c", program, str(folder), VERSION],
            capture_output=True,
            timeout=300,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return None
    return folder / "bin" if complete(folder / "bin") else None


def _built(folder: Path) -> Path:
    if not shutil.which("go"):
        raise ToolError(
            f"Pulumi {VERSION} can neither be found nor downloaded: install it from"
            " https://www.pulumi.com/docs/install/, or install Go so that it can be built"
        )
    say(f"no download of Pulumi is reachable: building {VERSION} from its Go modules, once (3 to 8 minutes)")
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "bin"
        made.mkdir()
        for part in _MODULES:
            _build(part, Path(scratch) / part, made)
        sdk = f"github.com/pulumi/pulumi/sdk/v3@v{VERSION}"
        module = run("the SDK's module", ["go", "list", "-m", "-mod=mod", "-f", "{{.Dir}}", sdk], Path(scratch) / "cli")
        python = Path(module.strip().splitlines()[-1]) / "python"
        for place in ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python"):
            shutil.copyfile(python / place, made / Path(place).name)
            (made / Path(place).name).chmod(0o755)
        for tool in made.iterdir():
            tool.replace(folder / "bin" / tool.name)
    return folder / "bin"


def _build(part: str, folder: Path, made: Path) -> None:
    folder.mkdir()
    (folder / "go.mod").write_text(_MODULES[part])
    package = _PACKAGES[part]
    (folder / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{package}"\n')
    name = package.rsplit("/", 1)[1]
    run(f"the modules of {name}", ["go", "mod", "tidy"], folder)
    stamp = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}"
    stamp += f" -X github.com/pulumi/pulumi/pkg/v3/version.Version=v{VERSION}"
    # A memory limit for the compiler's collector would slow it; two at a time is what small machines bear.
    options = ["-mod=mod", "-trimpath", "-ldflags", f"-s -w {stamp}", "-o", str(made / name)]
    run(f"building {name}", ["go", "build", *options, package], folder, {"CGO_ENABLED": "0"})
