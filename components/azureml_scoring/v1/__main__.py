"""`azureml-scoring convert-v1 INFERENCECONFIG [DEPLOYMENTCONFIG]`: v1's files in, a stack's config out.

Owns arguments, files and exit codes. Without `--out` nothing is written: the config goes to stdout, lines to stderr.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.json_schema import HEADER
from azureml_scoring.settings.rules import RULES
from azureml_scoring.settings.stack_file import NAMESPACE
from azureml_scoring.v1.convert import Converted, convert
from azureml_scoring.v1.reading import V1Error


def main(words: Sequence[str] | None = None) -> int:
    """Convert; 2 with one line where it cannot be done."""
    asked = _parser().parse_args(words)
    try:
        return _run(asked)
    except (V1Error, SettingsError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"error: {line}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="azureml-scoring convert-v1", description=__doc__, allow_abbrev=False)
    parser.add_argument("inferenceconfig", type=Path)
    parser.add_argument("deploymentconfig", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="the stack's file, Pulumi.STACK.yaml, beside Pulumi.yaml")
    parser.add_argument("--name", default="", help="name of the endpoint: what `az ml model deploy -n` named")
    parser.add_argument(
        "--compute", default="", help="ARM id of the attached Kubernetes compute that `--ct` named; without it, managed"
    )
    parser.add_argument(
        "-m", "--model", default="", help="the model: NAME:VERSION that is registered, or the path of a folder or file"
    )
    parser.add_argument("--location", default="", help="Azure region, short form, where no file says it")
    return parser


def _run(asked: argparse.Namespace) -> int:
    inference: Path = asked.inferenceconfig
    given = load(inference)
    found = given.get("sourceDirectory") if isinstance(given, Mapping) else None
    source = (inference.parent / str(found or ".")).resolve()
    if not source.is_dir():
        raise V1Error(f"sourceDirectory = {found}: no such folder beside {inference.name}; correct it")

    def read(path: str) -> str:
        near = source / path
        return (near if near.is_file() else inference.parent / path).read_text("utf-8-sig")

    deployment = load(asked.deploymentconfig) if asked.deploymentconfig else None
    if asked.compute:
        if problem := RULES["computeId"].problem(asked.compute):
            raise V1Error(f"--compute = {asked.compute}: {problem}")
        deployment = {**(deployment or {}), "computeTargetName": asked.compute}
    converted = convert(given, deployment, read, name=asked.name, location=asked.location, model=asked.model)
    root = (asked.out.parent if asked.out else Path()).resolve()
    config = placed(converted.config, Path(os.path.relpath(source, root)), root)
    text = written(config, converted)
    if asked.out is None:
        sys.stdout.write(text)
    else:
        new = {source / name: content for name, content in converted.files.items()} | {asked.out: text}
        for path, content in new.items():
            if path.exists() and path.read_text("utf-8") != content:
                raise V1Error(f"{path} exists and differs; take it away, or name another file by --out")
        for path, content in new.items():
            path.write_text(content, "utf-8")
        plan_file(config, root)
    for note in converted.notes:
        sys.stderr.write(f"{note}\n")
    return 0


def placed(config: Mapping[str, Any], source: Path, root: Path) -> dict[str, Any]:
    """See what lies in the source directory, and a model's path, from where the stack's file lies."""
    found: dict[str, Any] = {name: dict(part) if isinstance(part, Mapping) else part for name, part in config.items()}
    if "image" in found:
        found["image"] = {"context": source.as_posix(), **found["image"]}
    else:
        found["environment"]["condaFile"] = (source / found["environment"]["condaFile"]).as_posix()
        found["code"] = {"path": source.as_posix(), **found["code"]}
    if "path" in found.get("model", {}):
        found["model"]["path"] = Path(os.path.relpath(Path(found["model"]["path"]).resolve(), root)).as_posix()
    return found


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


def written(config: Mapping[str, Any], converted: Converted) -> str:
    """Write the stack's file, with the lines on top, where whoever edits it reads them."""
    head = [HEADER]
    head += [f"# From Azure ML v1. {', '.join(converted.files)} lie in the source directory. Paths are seen from here."]
    head += [f"# {note}" for note in converted.notes]
    sections = {f"{NAMESPACE}:{name}": value for name, value in config.items()}
    body = yaml.safe_dump({"config": sections}, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*head, body])


if __name__ == "__main__":
    sys.exit(main())
