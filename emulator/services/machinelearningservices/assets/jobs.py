"""Images that Azure ML builds in the workspace's registry: a base image with the packages of a conda file.

The conda file is an environment's, or that of an MLflow model which is served without code. Owns the recipe, the build
by a real docker CLI, the push as the workspace, and that an image is built once. Where the base image has conda, conda
makes the environment, as on Azure; where it has none, only a conda file of `python` and `pip:` can be built, into a
venv of the image's Python.
https://learn.microsoft.com/azure/machine-learning/concept-environments (image builds)
"""

import hashlib
import json
import re
import shlex
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from emulator.backends import docker_engine
from emulator.backends.image_names import pushed_digest
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry.access import TOKEN_USER, Caller
from emulator.services.machinelearningservices.assets.rules import full_name

_RIGHTS = frozenset({"pull", "push"})
_SETUP = "/azureml-environment-setup"
_LAST = 6
"""Lines of a failed build that its error repeats."""
_LENGTH = 1500
_ANYTHING = frozenset({"python", "pip"})
#: Azure ML's own server, which runs the entry script of the code that is mounted.
_SERVER = 'cd "$AML_APP_ROOT" && exec azmlinfsrv --entry_script "$AML_APP_ROOT/$AZUREML_ENTRY_SCRIPT" --port 5001'
_PREDICT = f"cd {_SETUP} && exec azmlinfsrv --entry_script score.py --port 5001"
#: What is sent and answered: https://learn.microsoft.com/azure/machine-learning/how-to-deploy-mlflow-models
_SCORE = """import json, os
from pathlib import Path

import mlflow.pyfunc
import numpy
import pandas

def init():
    global model
    model = mlflow.pyfunc.load_model(str(next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel")).parent))

def run(text):
    data = json.loads(text)["input_data"]
    if isinstance(data, dict) and {"columns", "data"} <= data.keys():
        data = pandas.DataFrame(**{key: data[key] for key in ("columns", "index", "data") if key in data})
    elif isinstance(data, dict):
        data = {key: numpy.array(value) for key, value in data.items()}
    else:
        data = numpy.array(data)
    return json.loads(pandas.Series(numpy.asarray(model.predict(data)).tolist()).to_json(orient="values"))
"""
_LOCKS: dict[str, threading.Lock] = {}
_LOCK = threading.Lock()


class RecipeError(Exception):
    """A conda file from which nothing can be built; one line."""


@dataclass(frozen=True)
class _Job:
    """One image to build."""

    what: str
    """Whose image it is, for errors."""
    name: str
    """The same for the same content."""
    files: Callable[[], dict[str, str]]
    """What it is built from."""


def image_of(azure: Azure, environment: Document) -> str:
    """The image of an environment version: its own, or the one of its content, built now or before."""
    properties, what = environment.properties, f"environment '{full_name(environment.id)}'"
    if properties.get("build"):
        raise _failed(what, "the local Azure builds no Docker context: build an image, or give 'condaFile'")
    if not properties.get("condaFile"):
        return str(properties["image"])
    return _built(azure, environment, _Job(what, name(properties), lambda: recipe(properties)))


def mlflow_image(azure: Azure, model: Document, files: Mapping[str, Path]) -> str:
    """The image that serves an MLflow model without code: its conda file, and Azure's server with a script for it.

    https://learn.microsoft.com/azure/machine-learning/how-to-deploy-mlflow-models-online-endpoints
    """
    what = f"model '{full_name(model.id)}'"
    conda = next((path for file, path in files.items() if file.endswith("/conda.yaml")), None)
    if conda is None or not any(file.endswith("/MLmodel") for file in files):
        raise _failed(what, "an MLflow model has the files MLmodel and conda.yaml")
    properties = {"image": azure.options.mlflow_base, "condaFile": _with_server(conda.read_text("utf-8"))}
    return _built(azure, model, _Job(what, name({**properties, "inferenceConfig": True}), lambda: _mlflow(properties)))


def _mlflow(properties: dict[str, Any]) -> dict[str, str]:
    files = recipe({**properties, "inferenceConfig": True})
    command = f"COPY score.py {_SETUP}/\nENTRYPOINT []\nCMD {json.dumps(['sh', '-c', _PREDICT])}\n"
    return {**files, "score.py": _SCORE, "Dockerfile": files["Dockerfile"] + command}


def _with_server(conda: str) -> str:
    """Add Azure's server to the packages, as Azure ML does."""
    document = yaml.safe_load(conda)
    entries = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return conda
    return str(yaml.safe_dump({**document, "dependencies": [*entries, {"pip": ["azureml-inference-server-http"]}]}))


def _built(azure: Azure, owner: Document, job: _Job) -> str:
    workspace = azure.find("/".join(owner.id.path.split("/")[:-4]))
    with _LOCK:
        lock = _LOCKS.setdefault(f"{workspace.id.key} {job.name}", threading.Lock())
    with lock:
        built = (azure.find(workspace.id.path).private.get("images") or {}).get(job.name)
        if built is None:
            built = _build(azure, workspace, job)
            latest = azure.find(workspace.id.path)
            azure.store.put(latest.having({"images": {**(latest.private.get("images") or {}), job.name: built}}))
        return str(built)


def recipe(properties: dict[str, Any]) -> dict[str, str]:
    """The files of the build; refused where it cannot be done anywhere."""
    try:
        conda = yaml.safe_load(properties["condaFile"])
    except yaml.YAMLError:
        conda = None
    if not isinstance(conda, dict) or not isinstance(conda.get("dependencies", []), list):
        raise RecipeError("condaFile is no conda environment: it has no list of 'dependencies'")
    entries = conda.get("dependencies") or []
    pip = [str(line) for entry in entries if isinstance(entry, dict) for line in entry.get("pip") or []]
    packages = [str(entry) for entry in entries if not isinstance(entry, dict)]
    python = next((match[1] for each in packages if (match := re.match(r"python\s*={1,2}\s*([\d.]+)", each))), "")
    others = [each for each in packages if re.split(r"[\s=<>!~]", each)[0].rpartition("::")[2] not in _ANYTHING]
    serves = not properties.get("inferenceConfig")
    names = {re.split(r"[\s=<>!~\[]", each)[0].lower().replace("_", "-") for each in pip}
    if serves and not names & {"azureml-defaults", "azureml-inference-server-http"}:
        raise RecipeError("the conda file has neither azureml-defaults nor azureml-inference-server-http to serve with")
    prefix = f"/azureml-envs/azureml_{name(properties)}"
    command = f"CMD {json.dumps(['sh', '-c', _SERVER])}\n" if serves else ""
    return {
        "conda.yml": properties["condaFile"],
        "requirements.txt": "".join(f"{line}\n" for line in pip),
        "setup.sh": _script(prefix, python, others),
        "Dockerfile": (
            f"FROM {properties['image']}\nUSER root\nCOPY conda.yml requirements.txt setup.sh {_SETUP}/\n"
            f"RUN --mount=type=secret,id=pip-ca sh {_SETUP}/setup.sh\n"
            f"ENV PATH={prefix}/bin:$PATH\n{'ENTRYPOINT []' if serves else ''}\n{command}"
        ),
    }


def name(properties: dict[str, Any]) -> str:
    """What the image of an environment is called; the same for the same content."""
    content = json.dumps([properties["image"], properties["condaFile"], bool(properties.get("inferenceConfig"))])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _script(prefix: str, python: str, others: list[str]) -> str:
    refused = f"the base image has no conda, which is needed for {', '.join(others)}" if others else ""
    return f"""set -e
if [ -s /run/secrets/pip-ca ]; then export PIP_CERT=/run/secrets/pip-ca REQUESTS_CA_BUNDLE=/run/secrets/pip-ca; fi
if command -v conda >/dev/null; then
    exec conda env create --yes --prefix {prefix} --file {_SETUP}/conda.yml
fi
refused={shlex.quote(refused)}
if [ -n "$refused" ]; then echo "error: $refused"; exit 1; fi
wanted={shlex.quote(python)}
here=$(python3 -c 'import platform; print(platform.python_version())')
if [ -n "$wanted" ] && [ "${{here#"$wanted".}}" = "$here" ] && [ "$wanted" != "$here" ]; then
    echo "error: the conda file asks for python=$wanted, the base image has $here and no conda"; exit 1
fi
python3 -m venv --without-pip {prefix}
python3 -m pip --python {prefix}/bin/python install --no-cache-dir --disable-pip-version-check \\
    --root-user-action=ignore --requirement {_SETUP}/requirements.txt
"""


def _build(azure: Azure, workspace: Document, job: _Job) -> str:
    """Build and push; the image by digest."""
    registry = azure.linked(workspace.properties.get("containerRegistry"), registry_access.REGISTRIES)
    if registry is None:
        raise _failed(job.what, f"workspace '{workspace.id.name}' has no container registry to build in")
    try:
        files = job.files()
    except RecipeError as error:
        raise _failed(job.what, str(error)) from error
    server = registry.properties["loginServer"]
    image = f"{server}/azureml/azureml_{job.name}"
    # https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#configure-image-builds
    allowed = bool(registry.properties.get("networkRuleBypassAllowedForTasks"))
    caller = Caller(workspace.id.name, rights=_RIGHTS, trusted=allowed)
    login = (TOKEN_USER, registry_access.refresh_token(azure, registry, caller))
    with (
        azure.writing("builds"),
        tempfile.TemporaryDirectory(prefix="environment-") as folder,
        docker_engine.environment({server: login}) as variables,
    ):
        for file, text in files.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        build = [
            docker_engine.cli(buildkit=True),
            "build",
            "--progress",
            "plain",
            "--tag",
            image,
            *docker_engine.pip_secret(),
            folder,
        ]
        code, lines = docker_engine.run(build, {**variables, "DOCKER_BUILDKIT": "1"})
        if code != 0:
            raise _failed(job.what, _reason(lines))
        try:
            code, lines = docker_engine.run([docker_engine.cli(buildkit=False), "push", image], variables)
        finally:
            docker_engine.forget([image])
    digest = pushed_digest(lines)
    if code != 0 or digest is None:
        raise _failed(job.what, _reason(lines))
    return f"{image}@{digest}"


def _reason(lines: list[str]) -> str:
    """The last lines of a log, as one."""
    written = [re.sub(r"^#\d+ (\d+\.\d+ )?", "", line).strip() for line in lines]
    errors = [line for line in written if re.search(r"(?i)\berror\b", line)] or [line for line in written if line]
    return " | ".join(dict.fromkeys(errors[-_LAST:]))[-_LENGTH:]


def _failed(what: str, text: str) -> AzureError:
    return AzureError(400, "ImageBuildFailure", f"The image of {what} cannot be built: {text}")
