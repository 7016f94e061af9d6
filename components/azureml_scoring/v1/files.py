"""v1's files in, a stack file and a Dockerfile out. Owns files and paths; refuses to own what fields become."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.json_schema import HEADER
from azureml_scoring.settings.rules import RULES
from azureml_scoring.settings.stack_file import NAMESPACE
from azureml_scoring.v1.convert import Converted, convert
from azureml_scoring.v1.reading import Note, V1Error


def convert_files(  # noqa: PLR0913 - what v1's command took
    inference: Path,
    deployment: Path | None,
    out: Path | None,
    *,
    name: str = "",
    compute: str = "",
    model: str = "",
    location: str = "",
) -> tuple[str, Sequence[Note]]:
    """Return the stack file's text, and a note for each field that changes; write all files where `out` names one.

    Raises V1Error, and SettingsError where the stack file would not be accepted.
    """
    document = load(inference)
    directory = document.get("sourceDirectory") if isinstance(document, Mapping) else None
    source = (inference.parent / str(directory or ".")).resolve()
    if not source.is_dir():
        raise V1Error(f"sourceDirectory = {directory}: no such folder beside {inference.name}; correct it")

    def read(path: str) -> str:
        beside_source = source / path
        return (beside_source if beside_source.is_file() else inference.parent / path).read_text("utf-8-sig")

    service = load(deployment) if deployment else None
    if compute:
        if problem := RULES["computeId"].problem(compute):
            raise V1Error(f"--compute = {compute}: {problem}")
        service = {**(service or {}), "computeTargetName": compute}
    converted = convert(document, service, read, name=name, location=location, model=model)
    root = (out.parent if out else Path()).resolve()
    config = with_paths(converted.config, Path(os.path.relpath(source, root)), root)
    text = stack_file(config, converted)
    if out:
        _write({source / name: content for name, content in converted.files.items()} | {out: text})
        plan_file(config, root)
    return text, converted.notes


def _write(files: Mapping[Path, str]) -> None:
    for path, content in files.items():
        if path.exists() and path.read_text("utf-8") != content:
            raise V1Error(f"{path} exists and differs; move it away, or name another file by --out")
    for path, content in files.items():
        path.write_text(content, "utf-8")


def with_paths(config: Mapping[str, Any], source: Path, root: Path) -> dict[str, Any]:
    """Make paths in the source directory, and a model's path, relative to the stack file's folder `root`."""
    result: dict[str, Any] = {name: dict(part) if isinstance(part, Mapping) else part for name, part in config.items()}
    if "image" in result:
        result["image"] = {"context": source.as_posix(), **result["image"]}
    else:
        result["environment"]["condaFile"] = (source / result["environment"]["condaFile"]).as_posix()
        result["code"] = {"path": source.as_posix(), **result["code"]}
    if "path" in result.get("model", {}):
        result["model"]["path"] = Path(os.path.relpath(Path(result["model"]["path"]).resolve(), root)).as_posix()
    return result


def load(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Read a file of v1: JSON, or YAML as the SDK also took."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise V1Error(f"{path}: {type(error).__name__}; name a readable file") from None
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise V1Error(f"{path} is neither JSON ({error}) nor YAML; correct it") from None


def stack_file(config: Mapping[str, Any], converted: Converted) -> str:
    """Write the stack file's text, with the notes as comments on top."""
    head = [
        HEADER,
        f"# From Azure ML v1. {', '.join(converted.files)} lie in the source directory; paths start at this file.",
        *(f"# {note}" for note in converted.notes),
    ]
    sections = {f"{NAMESPACE}:{name}": value for name, value in config.items()}
    body = yaml.safe_dump({"config": sections}, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*head, body])
