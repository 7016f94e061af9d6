"""Start the plugin from its folder (`python components/host`), as Pulumi's Python language host does."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)

from components.plugin import main  # noqa: E402 - the path must be right first

if __name__ == "__main__":
    main()
