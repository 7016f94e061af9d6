"""The YAML of online endpoints and deployments in https://github.com/Azure/azureml-examples, converted one by one.

The files are not part of this repository: `AZUREML_EXAMPLES` names a checkout. `python -m tests.v2.examples` writes the
table of the documentation.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from azureml_scoring.convert.reading import ConvertError, Note
from azureml_scoring.convert.v2.files import convert_files

VARIABLE = "AZUREML_EXAMPLES"
_FOLDERS = (
    "cli/endpoints/online",
    "cli/foundation-models",
    "cli/generative-ai/promptflow",
    "cli/jobs/pipelines-with-components/nyc_taxi_data_regression",
    "cli/monitoring",
)
_WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/"
    "Microsoft.MachineLearningServices/workspaces/ml"
)
_IDENTITY = _WORKSPACE.partition("/providers/")[0] + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
PLACEHOLDERS = {
    "{{ENDPOINT_NAME}}": "my-endpoint",
    "{{MODEL_VERSION}}": "1",
    "{{ACR_NAME}}": "acme",
    "{{acr_name}}": "acme",
    "{{model_name}}": "sklearn-diabetes",
    "{{deployment_name}}": "sklearn",
    "{{environment_name}}": "sklearn-env",
    "<ENDPOINT_NAME>": "my-endpoint",
    "<endpoint_name>": "my-endpoint",
    "<my-endpoint-name>": "my-endpoint",
    "<SCORING_SCRIPT>": "single-file-to-file-score.py",
    "<CODE_DIR>": "code-decorated",
    "<REGISTRY_NAME>": "acme",
    "<VERSION>": "1",
    "<KV_NAME>": "acme",
    "user_identity_ARM_id_place_holder": _IDENTITY,
    "{insert random GUID}": "00000000-0000-0000-0000-000000000000",
}
"""What the examples' own scripts replace, or leave to the reader."""
_REGISTRY_MODEL = "azureml://registries/azureml/models/model/versions/1"
"""Foundation models are named on the command line: `az ml online-deployment create -f deploy.yml --set model=…`."""
_STAND_IN = """$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
model: azureml://registries/azureml/models/model/versions/1
instance_type: Standard_DS3_v2
"""
"""An endpoint's file is converted together with this deployment."""


_COMPANIONS = {"kubernetes-endpoint.yml": "kubernetes-blue-deployment.yml", "kubernetes": "kubernetes-endpoint.yml"}
"""Files of Kubernetes are converted together."""


@dataclass(frozen=True)
class Result:
    """What became of one file."""

    name: str
    """Path in the repository."""
    text: str
    """The stack file; empty where it is refused."""
    notes: tuple[Note, ...] = ()
    reason: str = ""
    is_endpoint: bool = False


def root_of_examples() -> Path | None:
    """Return the checkout of the examples, where there is one."""
    root = Path(os.environ.get(VARIABLE) or "/nowhere")
    return root if root.is_dir() else None


def files(root: Path) -> list[Path]:
    """Return the files that describe an online endpoint or an online deployment."""
    found = (path for suffix in ("yml", "yaml") for path in root.glob(f"cli/**/*.{suffix}"))
    marks = ("managedOnline", "kubernetesOnline", "onlineEndpoint", "OnlineDeployment.schema")
    return sorted(path for path in found if any(mark in path.read_text("utf-8", "replace") for mark in marks))


def results(root: Path) -> Iterator[Result]:
    """Convert each file, in a copy of the examples."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for each in _FOLDERS:
            shutil.copytree(root / each, copy / each)
        for path in files(root):
            yield _convert(path.relative_to(root), copy)


def _convert(name: Path, root: Path) -> Result:
    file = root / name
    text = file.read_text()
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    file.write_text(text)
    document = yaml.safe_load(text)
    inputs, changes = [file], []
    is_endpoint = "ndpoint.schema" in str(document.get("$schema"))
    if file.parent.name == "kubernetes":
        inputs.append(file.parent / _COMPANIONS.get(file.name, _COMPANIONS["kubernetes"]))
    elif is_endpoint:
        stand_in = root / "stand-in.yml"
        stand_in.write_text(_STAND_IN)
        inputs.append(stand_in)
    elif not ({"model", "environment"} & document.keys()):
        changes = [("model", _REGISTRY_MODEL)]
    _download(document, file.parent)
    out = root / "Pulumi.example.yaml"
    out.unlink(missing_ok=True)
    try:
        stack, notes = convert_files(inputs, out, changes=changes, workspace=_WORKSPACE)
    except ConvertError as error:
        return Result(str(name), "", reason=str(error), is_endpoint=is_endpoint)
    return Result(str(name), stack, tuple(notes), is_endpoint=is_endpoint)


def _download(document: dict[str, object], folder: Path) -> None:
    """Put something where the examples' scripts download models to."""
    model = document.get("model")
    path = folder / str(model.get("path") if isinstance(model, dict) else ".")
    if not path.exists() or (path.is_dir() and not any(path.rglob("*"))):
        path.mkdir(parents=True, exist_ok=True)
        (path / "model.bin").write_text("model")


def table(converted: Iterable[Result]) -> str:
    """Write the table of the documentation."""
    lines = ["| File | Result | Runs |", "| --- | --- | --- |"]
    for result in converted:
        notes = sorted({f"{note.kind} `{note.field.partition('.')[2].partition(' ')[0]}`" for note in result.notes})
        said = "; ".join(note for note in notes if "``" not in note)
        done = f"converts; {said}" if said else "converts"
        lines.append(f"| `{result.name.removeprefix('cli/')}` | {result.reason or done} | {_runs(result)} |")
    return "\n".join(lines) + "\n"


def _runs(result: Result) -> str:
    """Say what the deployment of a stack file runs."""
    if result.is_endpoint:
        return ""
    config = (yaml.safe_load(result.text) or {}).get("config") or {}
    image, environment = config.get("scoring:image") or {}, config.get("scoring:environment") or {}
    if environment.get("base"):
        return f"packages on `{environment['base']}`"
    if named := image.get("reference") or environment.get("reference"):
        return f"`{named}`"
    return f"a build of `{Path(image['context']).name}`" if image else "Azure's server for the model"


if __name__ == "__main__":
    sys.stdout.write(table(results(Path(os.environ[VARIABLE]))))
