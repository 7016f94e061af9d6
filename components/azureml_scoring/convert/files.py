"""Reads the files of a conversion, and writes the stack file with what lies beside it: all of it, or nothing.

Refuses to own what a field becomes.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from azureml_scoring.convert.reading import ConvertError, Note
from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.json_schema import HEADER
from azureml_scoring.settings.stack_file import NAMESPACE, parse, prefixed
from azureml_scoring.settings.validation import validate

_PLACEHOLDER: Final = re.compile(r"^[^#]*?(\{\{\s*\w+\s*\}\})")
"""Microsoft's examples have them, for a script to replace."""


def load(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Read a file: JSON or YAML."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConvertError(f"{path}: {type(error).__name__}; name a readable file") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if placeholder := _PLACEHOLDER.search(line):
            raise ConvertError(f"{path}: line {number} has the placeholder {placeholder[1]}; replace it")
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as problem:
            where = getattr(problem, "problem_mark", None)
            line = f" (line {where.line + 1})" if where else ""
            raise ConvertError(f"{path} is neither JSON ({error}) nor YAML{line}; correct it") from None


def stack_text(config: Mapping[str, Any], title: str, notes: Iterable[Note]) -> str:
    """Write the stack file's text, with the notes as comments on top."""
    head = [HEADER, f"# {title}", *(f"# {note}" for note in notes)]
    sections = {f"{NAMESPACE}:{name}": value for name, value in config.items()}
    body = yaml.safe_dump({"config": sections}, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*head, body])


def check(config: Mapping[str, Any]) -> None:
    """Check a stack without the files that it names; raise a ConvertError with a line for each problem."""
    settings = None
    try:
        settings = parse(config)
        validate(settings)
    except SettingsError as error:
        raise ConvertError(str(prefixed(error) if settings else error)) from None


def write(files: Mapping[Path, str], config: Mapping[str, Any], root: Path) -> None:
    """Write all files and check the stack with them; where it is refused, none of them stays."""
    for path, content in files.items():
        if path.exists() and path.read_text("utf-8") != content:
            raise ConvertError(f"{path} exists and differs; move it away, or name another file")
    new = [path for path in files if not path.exists()]
    try:
        for path in new:
            path.write_text(files[path], "utf-8")
        plan_file(config, root)
    except (OSError, SettingsError) as error:
        for path in new:
            path.unlink(missing_ok=True)
        raise ConvertError(str(error)) from None
