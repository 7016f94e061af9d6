"""Turns v1's objects into a stack's config, a Dockerfile, and notes about what v2 does otherwise or not at all.

Owns what each field of v1 becomes. Refuses to own files and paths (`files.py`). Pure.
https://learn.microsoft.com/azure/machine-learning/v1/reference-azure-machine-learning-cli (schemas) and
https://learn.microsoft.com/azure/machine-learning/migrate-to-v2-deploy-endpoints
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from azureml_scoring.convert.reading import CURATED, ConvertError, Note, Part, registered_environment
from azureml_scoring.convert.v1.hosting import managed, on_cluster
from azureml_scoring.plan.requirements import packages, public_images, support
from azureml_scoring.settings.regions import short_form
from azureml_scoring.settings.rules import duration_of

DOCKERFILE: Final = "azureml-v1.Dockerfile"
CONDA_FILE: Final = "azureml-v1.conda.yml"
DEFAULT_BASE: Final = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1"
"""In place of `DEFAULT_CPU_IMAGE`."""
DEFAULT_GPU_BASE: Final = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04:latest"
"""In place of `DEFAULT_GPU_IMAGE`; the newest that https://github.com/Azure/AzureML-Containers has with CUDA."""
DEPLOYMENT: Final = "blue"
_APP: Final = "/var/azureml-app"
"""Where v1 put the source directory, and what AML_APP_ROOT names."""
_PREFIX: Final = "/opt/azureml-v1"
_TRUST: Final = (
    "--mount=type=secret,id=pip-ca if [ -s /run/secrets/pip-ca ]; then "
    "export PIP_CERT=/run/secrets/pip-ca REQUESTS_CA_BUNDLE=/run/secrets/pip-ca; fi && "
)
"""pip-ca is an optional build secret: the CA bundle to reach a package index behind a private CA. It is not kept."""
_REQUEST_SECONDS: Final = {"managed": 180, "kubernetes": 300}
_HOST: Final = re.compile(r"[^/]*[.:][^/]*/|localhost/")
_PUBLIC: Final = ("mcr.microsoft.com", "docker.io", "index.docker.io")
"""Registries that are read without credentials."""
_SERVERS: Final = ("azureml-inference-server-http", "azureml-defaults")
_OWN_CONTAINER: Final = "a managed endpoint starts the container itself and takes no options of `docker run`"
_NETWORK: Final = "a managed endpoint has its own address and certificate; put your own name on a gateway before it"

Texts = Callable[[str], str]
"""Reads a text file by its path in the source directory; raises OSError."""


@dataclass(frozen=True)
class Converted:
    """The result of a conversion."""

    config: Mapping[str, Any]
    """Sections of `scoring:`, without the build context."""
    source: str
    """The source directory, relative to the inference config."""
    files: Mapping[str, str]
    """Files for the source directory, by name."""
    notes: tuple[Note, ...]


@dataclass
class _Recipe:
    """The image, as far as it is read."""

    gpu: bool = False
    reference: str = ""
    """A registered environment instead of all that follows."""
    base: str = ""
    dockerfile: str = ""
    """The first part of the Dockerfile, instead of a FROM."""
    conda: Mapping[str, Any] | None = None
    clone: str = ""
    python: str = ""
    steps: str = ""
    platform: str = ""
    name: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def is_environment(self) -> bool:
        """Whether Azure ML can build it: a base image and packages, and nothing else."""
        return self.conda is not None and not (self.dockerfile or self.steps or self.clone or self.platform)


def convert(  # noqa: PLR0913 - what v1's command took
    inference: object,
    deployment: object = None,
    read: Texts | None = None,
    *,
    name: str = "",
    location: str = "",
    model: str = "",
) -> Converted:
    """Turn both objects into config; ConvertError where a file is not of v1. `model` is NAME:VERSION or a path."""
    notes: list[Note] = []
    top = Part.of("", inference, notes)
    script = top.path_text("entryScript")
    if not script:
        raise ConvertError("entryScript is missing: an inference config names the file with init() and run()")
    source = top.path_text("sourceDirectory")
    gpu = bool(top.flag("enableGpu"))
    recipe = _Recipe(gpu=gpu or _has_gpu(deployment))
    _older(top, recipe, read or _none)
    _environment(top.part("environment", text="name"), recipe, read or _none)
    description = top.text("description")
    top.drop("dependencies", reason="the whole source directory is taken")
    top.drop("schemaFile", reason="the server reads the schema from the entry script's decorators")
    top.end()

    serving, endpoint, tags = _deployment(Part.of("", deployment, notes), gpu=gpu)
    region = tags.pop("", "") or location
    if not region:
        region = "westeurope"
        notes.append(
            Note("changed", "location", f"v1 took the workspace's; {region} is written, --location changes it")
        )
    if description:
        endpoint.setdefault("description", description)
    if name:
        endpoint["name"] = name
    if recipe.variables:
        serving["environmentVariables"] = recipe.variables
    config: dict[str, Any] = {"location": region, "registry": {"mode": "workspace"}}
    if recipe.reference:
        files: dict[str, str] = {}
        config["environment"] = {"reference": recipe.reference}
        config["code"] = {"entryScript": str(PurePosixPath(script))}
    elif recipe.is_environment:
        files = {CONDA_FILE: _yaml(_with_server(recipe.conda, notes))}
        label = re.sub("[^A-Za-z0-9._-]+", "-", recipe.name or name).strip("-._")
        config["environment"] = {"base": recipe.base, "condaFile": CONDA_FILE, **({"name": label} if label else {})}
        config["code"] = {"entryScript": str(PurePosixPath(script))}
    else:
        files = _files(recipe, script, notes)
        config["image"] = _image(recipe, name)
    config |= _model(model, notes, here="" if "code" in config else source or ".")
    config |= {"endpoint": endpoint, "deployments": {DEPLOYMENT: serving}}
    if "compute" in endpoint:
        # A compute belongs to a workspace, which exists then, with its registry.
        config["workspace"] = {"id": endpoint["compute"].rpartition("/computes/")[0]}
    if tags:
        config["tags"] = tags
    return Converted(config, source, files, tuple(notes))


def _image(recipe: _Recipe, name: str) -> dict[str, Any]:
    """Return the section of an image that is built from our Dockerfile."""
    image: dict[str, Any] = {
        "dockerfile": DOCKERFILE,
        "repository": _repository(recipe.name or name),
        "builder": "acr",
    }
    if not recipe.dockerfile:
        image["buildArguments"] = {"BASE": recipe.base}
    if recipe.platform:
        image["platform"] = recipe.platform
    return image


def _model(model: str, notes: list[Note], here: str) -> dict[str, Any]:
    """Return the section of the model that `-m` named; a note where it is not named again."""
    if not model:
        baked = f", or put it into {here}/azureml-models, to which AZUREML_MODEL_DIR points" if here else ""
        text = f"`az ml model deploy` named the model, the files do not; add --model NAME:VERSION or a path{baked}"
        notes.append(Note("changed", "-m NAME:VERSION", text))
        return {}
    if not re.fullmatch(r"[\w-]+:\d+", model):
        return {"model": {"path": model}}
    text = "it stays where it is registered; workspace.id must name that workspace"
    notes.append(Note("changed", f"-m {model}", text))
    return {"model": {"reference": f"azureml:{model}"}}


def _yaml(document: Mapping[str, Any] | None) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _none(path: str) -> str:
    raise FileNotFoundError(path)


def _repository(name: str) -> str:
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"scoring/{plain or 'v1'}"


# -- inference config ------------------------------------------------------------------------------------------------


def _older(top: Part, recipe: _Recipe, read: Texts) -> None:
    """Read the fields from before there were environments."""
    runtime = top.text("runtime")
    if runtime and runtime != "python":
        top.note("dropped", "runtime", "v2's online endpoints run Python or a container of your own, no Spark", runtime)
    if path := top.path_text("condaFile"):
        recipe.conda = _conda_file(top, "condaFile", path, read)
    if path := top.path_text("extraDockerfileSteps"):
        recipe.steps = _read(top, "extraDockerfileSteps", path, read)
    recipe.base = top.text("baseImage")
    _base_registry(top.part("baseImageRegistry", text="address"), recipe)
    top.drop("cudaVersion", reason="CUDA comes with the base image; image.buildArguments.BASE names one that has it")


def _environment(part: Part, recipe: _Recipe, read: Texts) -> None:
    recipe.name, version = part.text("name"), part.text("version")
    recipe.variables = part.texts("environmentVariables")
    docker, python = part.part("docker"), part.part("python")
    if recipe.name and not docker and not python and not recipe.conda:
        recipe.reference = _registered(part, recipe.name, version)
        part.drop(*list(part.rest), reason="the registered environment has its own")
        return
    if version:
        part.note("changed", "version", "versions follow from the content, so that none is overwritten", version)
    _docker(docker, recipe, read)
    _python(python, recipe, read)
    if part.text("inferencingStackVersion"):
        part.note(
            "changed", "inferencingStackVersion", "the server is a Python package now: azureml-inference-server-http"
        )
    for key in ("spark", "databricks", "r"):
        section = part.part(key)
        if any(value not in (None, [], {}, True, False) for value in section.rest.values()):
            part.note(
                "dropped", key, "online endpoints have none of it; add what the entry script needs to the Dockerfile"
            )
    part.end()


def _registered(part: Part, name: str, version: str) -> str:
    """Name an environment that is registered."""
    name, _, number = name.partition(":")
    text = "it stays where it is registered; workspace.id must name that workspace"
    if name.startswith(CURATED):
        text = "it is in Azure ML's own registry; check that it is not retired"
    part.note("changed", "name", text, name)
    return registered_environment(name, version or number)


def _docker(part: Part, recipe: _Recipe, read: Texts) -> None:
    recipe.base = part.text("baseImage") or recipe.base
    _base_registry(part.part("baseImageRegistry", text="address"), recipe)
    _base_registry(part.part("registry", text="address"), recipe)
    if text := part.text("baseDockerfile"):
        inline = "\n" in text or " " in text
        recipe.dockerfile = text if inline else _read(part, "baseDockerfile", text.replace("\\", "/"), read)
        if recipe.base:
            part.note("dropped", "baseImage", "baseDockerfile is set as well, and is used", recipe.base)
    if not recipe.base and not recipe.dockerfile:
        recipe.base = DEFAULT_GPU_BASE if recipe.gpu else DEFAULT_BASE
        part.note("changed", "baseImage", f"v1's default image is retired; {recipe.base} takes its place")
    if recipe.base and not recipe.dockerfile and (finding := public_images.finding(recipe.base)):
        part.note("changed", "baseImage", f"{finding[1]}; the stack file says which one is used")
    enabled = part.flag("enabled")
    if enabled is False:
        part.note("changed", "enabled", "v2 serves from containers only", "false")
    part.drop("arguments", reason=_OWN_CONTAINER)
    if part.flag("sharedVolumes") is False:
        part.note("dropped", "sharedVolumes", _OWN_CONTAINER, "false")
    part.drop("shmSize", reason=f"{_OWN_CONTAINER}; shared memory is the machine's")
    platform = part.part("platform")
    system, processor = platform.text("os"), platform.text("architecture")
    if processor:
        recipe.platform = f"{(system or 'linux').lower()}/{processor.lower()}"
    platform.end()
    part.end()


def _base_registry(part: Part, recipe: _Recipe) -> None:
    """Read where the base image lies; credentials are dropped, since a build pulls without any."""
    address = part.text("address").removeprefix("https://").strip("/")
    credentials = [part.take(key) for key in ("username", "password", "registryIdentity")]
    if address and recipe.base and not _HOST.match(recipe.base):
        recipe.base = f"{address}/{recipe.base}"
    if any(credentials) or (address and address.lower() not in _PUBLIC):
        remedy = f"`az acr import --source {address}/IMAGE` brings the base image into the registry that builds"
        part.note("dropped", "address", f"a build pulls its base without credentials; {remedy}", address)
    part.end()


def _has_gpu(deployment: object) -> bool:
    """Tell whether a deployment config asks for GPUs."""
    part = Part.of("", deployment, [])
    return bool(part.number("gpuCores") or part.part("containerResourceRequirements").number("gpu"))


def _python(part: Part, recipe: _Recipe, read: Texts) -> None:
    managed_by_user = bool(part.flag("userManagedDependencies"))
    recipe.python = part.text("interpreterPath")
    recipe.clone = part.text("baseCondaEnvironment")
    inline, path = part.take("condaDependencies"), part.path_text("condaDependenciesFile")
    if inline is not None and not isinstance(inline, Mapping):
        raise ConvertError(f"{part.name('condaDependencies')} is a {type(inline).__name__}, not an object; correct it")
    dependencies = inline or (_conda_file(part, "condaDependenciesFile", path, read) if path else None) or recipe.conda
    recipe.conda = None if managed_by_user else dependencies
    if managed_by_user and dependencies:
        part.note(
            "dropped", "condaDependencies", "userManagedDependencies is true, so the image brings its own packages"
        )
    part.end()


def _read(part: Part, key: str, path: str, read: Texts) -> str:
    try:
        return read(path)
    except (OSError, UnicodeDecodeError):
        raise ConvertError(
            f"{part.name(key)} = {path}: no such text file beside the source; correct the path"
        ) from None


def _conda_file(part: Part, key: str, path: str, read: Texts) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(_read(part, key, path, read))
    except yaml.YAMLError:
        document = None
    if not isinstance(document, Mapping):
        raise ConvertError(f"{part.name(key)} = {path} is not a conda environment; correct the file")
    return document


# -- image -----------------------------------------------------------------------------------------------------------


def _files(recipe: _Recipe, script: str, notes: list[Note]) -> dict[str, str]:
    """Return the Dockerfile, and the conda environment beside it."""
    lines = ["# Written by `azureml-scoring convert-v1` from an inference config of Azure ML v1; edit it freely."]
    if recipe.dockerfile:
        lines += [recipe.dockerfile.strip()]
    else:
        lines += [f"ARG BASE={recipe.base}", "FROM ${BASE}"]
    lines += ["", "USER root"]
    files = {}
    conda = _with_server(recipe.conda, notes)
    if conda is not None:
        files[CONDA_FILE] = _yaml(conda)
        # v1 created an environment beside the base's; PATH does what activating it would.
        clone = f"conda create --yes --prefix {_PREFIX} --clone {json.dumps(recipe.clone)} && " if recipe.clone else ""
        verb = "update" if recipe.clone else "create"
        install = f"conda env {verb} --prefix {_PREFIX} --file /tmp/{CONDA_FILE}"
        lines += [
            f"COPY {CONDA_FILE} /tmp/{CONDA_FILE}",
            f"RUN {_TRUST}{clone}{install} && conda clean --all --yes",
            f"ENV PATH={_PREFIX}/bin:${{PATH}}",
        ]
    else:
        interpreter = recipe.python or "python"
        if "/" in interpreter:
            lines += [f"ENV PATH={PurePosixPath(interpreter).parent}:${{PATH}}"]
        # The image belongs to the server: a system Python that asks for a venv (PEP 668) needs none here.
        install = f"{interpreter} -m pip install --no-cache-dir azureml-inference-server-http"
        lines += [f"RUN {_TRUST}PIP_BREAK_SYSTEM_PACKAGES=1 {install}"]
        notes.append(
            Note("changed", "environment.python", "the Dockerfile adds azureml-inference-server-http to the image")
        )
    if recipe.steps:
        lines += ["", recipe.steps.strip()]
    lines += [
        "",
        f"WORKDIR {_APP}",
        f"COPY --chmod=0555 . {_APP}/",
        f"ENV AML_APP_ROOT={_APP} AZUREML_MODEL_DIR={_APP}/azureml-models PYTHONUNBUFFERED=1",
        "USER 10001:10001",
        "EXPOSE 5001",
        f"CMD {json.dumps(['azmlinfsrv', '--entry_script', f'{_APP}/{PurePosixPath(script)}', '--port', '5001'])}",
        "",
    ]
    files[DOCKERFILE] = "\n".join(lines)
    return files


def _with_server(conda: Mapping[str, Any] | None, notes: list[Note]) -> dict[str, Any] | None:
    """Return the environment with a server, which v1 required."""
    if conda is None:
        return None
    versions = {package.name: package.version for package in packages.of_conda(conda)}
    path = "environment.python.condaDependencies"
    text = versions.get("azureml-defaults", "")
    if text and support.version(text) < support.DEFAULTS_LEAST:
        raise ConvertError(f"{path}: azureml-defaults {text} cannot serve; write 1.0.45 or later")
    if any(name in versions for name in _SERVERS):
        return dict(conda)
    remedy = "azureml-inference-server-http is added; v1 asked for azureml-defaults, which brings it"
    notes.append(Note("changed", path, f"no server is among the packages; {remedy}"))
    dependencies = list(conda.get("dependencies") or [])
    for index, entry in enumerate(dependencies):
        if isinstance(entry, Mapping) and isinstance(entry.get("pip"), list):
            dependencies[index] = {"pip": [*entry["pip"], _SERVERS[0]]}
            return {**conda, "dependencies": dependencies}
    return {**conda, "dependencies": [*dependencies, "pip", {"pip": [_SERVERS[0]]}]}


# -- deployment config -----------------------------------------------------------------------------------------------


def _deployment(part: Part, *, gpu: bool) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Return the deployment, the endpoint and the tags; the location is the tag without a name.

    An endpoint on Kubernetes has the ARM id of its compute.
    """
    compute, aks = _compute(part)
    if (port := part.number("port")) is not None:
        remedy = f"`make up SCORING_PORT={port:g}` serves it on this machine; a managed endpoint is on 443"
        part.note("changed", "port", remedy, f"{port:g}")
    serving = on_cluster(part, gpu=gpu) if compute else managed(part, gpu=gpu, aks=aks)
    if (on := part.flag("appInsightsEnabled")) is not None:
        serving["appInsights"] = on
    if probe := _probe(part.part("livenessProbeRequirements")):
        serving["livenessProbe"] = probe
    if requests := _requests(part, _REQUEST_SECONDS["kubernetes" if compute else "managed"]):
        serving["requestSettings"] = requests
    endpoint: dict[str, Any] = {"auth": _auth(part)}
    if compute:
        endpoint |= {"kind": "kubernetes", "compute": compute}
    if description := part.text("description"):
        endpoint["description"] = description[:256]
    tags = part.texts("tags")
    if location := part.text("location"):
        tags[""] = short_form(location)
    _dropped(part, compute)
    part.end()
    return serving, endpoint, tags


def _compute(part: Part) -> tuple[str, bool]:
    """Return the ARM id of the cluster's compute, empty where the endpoint is managed; and whether v1 had a cluster."""
    target = part.text("computeTargetName")
    compute = target if "/" in target else ""
    if target and not compute:
        part.note("changed", "computeTargetName", "--compute with its ARM id deploys there; else it is managed", target)
    kind = part.text("computeType").lower()
    if kind not in {"", "aci", "aks", "local", "akswebservice", "aciwebservice"}:
        raise ConvertError(f"computeType = {kind}: v1 has local, aci and aks; correct it")
    if compute:
        name = compute.rpartition("/")[2]
        part.note("changed", "computeType", f"it runs on Kubernetes, on the attached compute {name}", kind or "none")
    elif kind.startswith("aks"):
        remedy = "it runs on a managed endpoint, without a cluster; --compute names an attached one"
        part.note("changed", "computeType", f"--ct named the cluster, the files do not; {remedy}", kind)
    elif kind.startswith("aci"):
        part.note("changed", "computeType", "v2 has no container instances; it runs on a managed endpoint", kind)
    return compute, kind.startswith("aks")


def _dropped(part: Part, compute: str) -> None:
    """Drop the fields that have no successor."""
    collection = part.part("dataCollection")
    successor = "deployments.blue.dataCollector keeps payloads, and what azureml-ai-monitoring collects"
    collection.drop("storageEnabled", reason=successor)
    collection.end()
    if part.flag("sslEnabled") is False:
        part.note("changed", "sslEnabled", "a managed endpoint always speaks https", "false")
    reason = "Azure creates an endpoint's keys; `pulumi stack output endpointKey` shows them"
    part.drop("keys", reason=reason, secret=True)
    reason = "Azure creates an endpoint's keys and certificates"
    part.drop("primaryKey", "secondaryKey", "sslKey", "sslKeyPemFile", reason=reason, secret=True)
    names = ("sslCertificate", "sslCertPemFile", "sslCname", "cname", "dnsNameLabel", "leafDomainLabel")
    part.drop(*names, reason=_NETWORK)
    reason = "a managed endpoint is closed by endpoint.publicNetworkAccess and private endpoints"
    part.drop("vnetName", "subnetName", "vnet_name", "subnet_name", reason=reason)
    part.drop("cmkVaultBaseUrl", "cmkKeyName", "cmkKeyVersion", reason="encryption is the workspace's")
    reason = (
        f"the compute {compute} is attached in one" if compute else "a managed endpoint has no Kubernetes namespace"
    )
    part.drop("namespace", reason=reason)
    reason = "several versions are several deployments; endpoint.traffic shares the requests"
    part.drop("isDefault", "trafficPercentile", "versionName", "versionDescription", "versionType", reason=reason)
    part.drop("properties", reason="v2 reserves properties for itself; use tags")
    part.drop("blobfuseEnabled", reason="models are mounted by Azure ML itself")


def _auth(part: Part) -> str:
    key, token = part.flag("authEnabled"), part.flag("tokenAuthEnabled")
    if token:
        return "aml-token"
    if key is False:
        part.note("changed", "authEnabled", "a managed endpoint always authenticates; it has keys now", "false")
    return "key"


def _probe(part: Part) -> dict[str, Any]:
    probe: dict[str, Any] = {}
    for old, new in (
        ("initialDelaySeconds", "initialDelay"),
        ("periodSeconds", "period"),
        ("timeoutSeconds", "timeout"),
    ):
        if (seconds := part.number(old)) is not None:
            probe[new] = duration_of(seconds)
    for name in ("successThreshold", "failureThreshold"):
        if (count := part.number(name)) is not None:
            probe[name] = int(count)
    part.end()
    return probe


def _requests(part: Part, longest: int) -> dict[str, Any]:
    requests: dict[str, Any] = {}
    if (count := part.number("maxConcurrentRequestsPerContainer")) is not None:
        requests["maxConcurrentRequestsPerInstance"] = max(1, int(count))
    if (milliseconds := part.number("scoringTimeoutMs")) is not None:
        seconds = milliseconds / 1000
        if seconds > longest:
            text = f"v2 takes {longest} s at most, which is written; longer work belongs to a batch endpoint"
            part.note("changed", "scoringTimeoutMs", text, f"{milliseconds:g}")
        requests["requestTimeout"] = duration_of(min(seconds, longest))
    if (milliseconds := part.number("maxQueueWaitMs")) is not None:
        requests["maxQueueWait"] = duration_of(milliseconds / 1000)
    return requests
