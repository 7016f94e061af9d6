"""`azureml-scoring COMMAND`: the commands of this package. Owns which module runs a command."""

import sys
from collections.abc import Sequence
from pathlib import Path


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; 2 with one line where it cannot be done."""
    command, *rest = [*(sys.argv[1:] if words is None else words)] or ["--help"]
    if command == "convert-v1":
        from azureml_scoring.v1.__main__ import main as convert  # noqa: PLC0415 - each command loads its own part

        return convert(rest)
    if command == "schema":
        from azureml_scoring.settings.json_schema import write  # noqa: PLC0415

        return write(Path.cwd())
    from azureml_scoring.delivery.__main__ import main as delivery  # noqa: PLC0415

    return delivery([command, *rest])


if __name__ == "__main__":
    sys.exit(main())
