"""v1's files in, a stack file and a Dockerfile out. Owns paths; refuses to own what fields become."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from azureml_scoring.convert.files import check, load, stack_text, write
from azureml_scoring.convert.reading import ConvertError, Note
from azureml_scoring.convert.v1.config import convert
from azureml_scoring.provider.arm import connect
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.lookup import computes_named
from azureml_scoring.settings.rules import RULES


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

    Raises ConvertError, also where the stack file would not be accepted.
    """
    document = load(inference)
    directory = document.get("sourceDirectory") if isinstance(document, Mapping) else None
    source = (inference.parent / str(directory or ".").replace("\\", "/")).resolve()
    if not source.is_dir():
        raise ConvertError(f"sourceDirectory = {directory}: no such folder beside {inference.name}; correct it")

    def read(path: str) -> str:
        beside_source = source / path
        return (beside_source if beside_source.is_file() else inference.parent / path).read_text("utf-8-sig")

    service = load(deployment) if deployment else None
    if compute:
        service = {**(service or {}), "computeTargetName": _compute_id(compute)}
    converted = convert(document, service, read, name=name, location=location, model=model)
    root = (out.parent if out else Path()).resolve()
    config = with_paths(converted.config, Path(os.path.relpath(source, root)), root)
    beside = f"{', '.join(converted.files)} lie in the source directory; " if converted.files else ""
    text = stack_text(config, f"From Azure ML v1. {beside}paths start at this file.", converted.notes)
    check(config)
    if out:
        write({source / name: content for name, content in converted.files.items()} | {out: text}, config, root)
    return text, converted.notes


def _compute_id(compute: str) -> str:
    """Return a compute's ARM id; one that is named is searched in the visible workspaces."""
    if "/" in compute:
        if problem := RULES["computeId"].problem(compute):
            raise ConvertError(f"--compute = {compute}: {problem}")
        return compute
    try:
        ids = computes_named(connect(), compute)
    except ResourceError as error:
        raise ConvertError(f"--compute = {compute}: {error}; or write its ARM id") from None
    if len(ids) != 1:
        many = f"there are several: {', '.join(ids)}; write one of them"
        raise ConvertError(f"--compute = {compute}: {many if ids else 'no visible workspace has it; write its ARM id'}")
    return ids[0]


def with_paths(config: Mapping[str, Any], source: Path, root: Path) -> dict[str, Any]:
    """Make paths in the source directory, and a model's path, relative to the stack file's folder `root`."""
    result: dict[str, Any] = {name: dict(part) if isinstance(part, Mapping) else part for name, part in config.items()}
    if "image" in result:
        result["image"] = {"context": source.as_posix(), **result["image"]}
    else:
        if "condaFile" in result["environment"]:
            result["environment"]["condaFile"] = (source / result["environment"]["condaFile"]).as_posix()
        result["code"] = {"path": source.as_posix(), **result["code"]}
    if "path" in result.get("model", {}):
        result["model"]["path"] = Path(os.path.relpath(Path(result["model"]["path"]).resolve(), root)).as_posix()
    return result
