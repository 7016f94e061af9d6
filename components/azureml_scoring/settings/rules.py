"""Rules of single texts: what a name, an id, a route or a duration may look like, and how an error says so.

Owns the patterns that Azure, OCI and ISO 8601 have for each kind of text. Refuses to own fields (the other modules of
`settings/`) and what may go together (`validation.py`). Pure.
https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from ipaddress import ip_interface
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from azureml_scoring.settings import image_names

NamesT = TypeVar("NamesT", bound=Iterable[str])

_HALF: Final = re.compile("[\ud800-\udfff]")
"""Surrogates, of which two make a character in UTF-16: https://www.rfc-editor.org/rfc/rfc3629#section-3"""
_LARGEST: Final = 2**31 - 1
"""Azure Resource Manager's whole numbers are `int32` in the schemas of Azure ML and Azure Monitor."""
WHOLE: Final = 100
"""Percent that the shares of an endpoint's deployments make together."""
MIRROR_LIMIT: Final = 50
"""Percent of live requests that Azure mirrors at most."""
_EXACT: Final = 1000
"""Seconds from which on a thousandth does not matter."""
TAG_LENGTH: Final = 12
"""Characters of a content key or digest that make a tag or a version."""


@dataclass(frozen=True)
class Rule:
    """How one kind of text must look, as a pattern and in words."""

    what: str
    """The kind, as a reader would call it."""
    pattern: str
    """The whole text must match this; understood by Python and by ECMAScript."""
    words: str
    """What is allowed."""
    example: str
    length: tuple[int, int] = (1, 512)
    """Fewest and most characters."""
    never: tuple[tuple[str, str], ...] = ()
    """Patterns that the text must not begin with, although it matches the other; and what to say of each."""
    meant: Callable[[str], str] | None = None
    """Guesses what a text that is wrong was meant to be."""

    def problem(self, text: str) -> str | None:
        """Say what is wrong with a text; None when it is right."""
        least, most = self.length
        if _HALF.search(text):
            return "it has half a character, which no request can send; write it anew"
        if not (least <= len(text) <= most and re.fullmatch(self.pattern, text)):
            meant = self.meant(text) if self.meant else ""
            remedy = f"write {meant}" if re.fullmatch(self.pattern, meant) else f"for instance {self.example}"
            return f"{self.what} takes {self.words}; {remedy}"
        return next((words for pattern, words in self.never if re.match(pattern, text)), None)

    @property
    def whole(self) -> str:
        """Both patterns in one, for a JSON Schema."""
        never = "".join(f"(?!{pattern})" for pattern, _ in self.never)
        return f"^{never}({self.pattern})$"


def _any_case(text: str) -> str:
    """Match a literal in any case: ARM ids have none, and ECMAScript patterns know no flag inside."""
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c.replace(".", r"\.") for c in text)


def _id(kinds: str, name: str = "[a-zA-Z0-9][a-zA-Z0-9._-]*") -> str:
    """Compose the pattern of an ARM id: `Microsoft.X/type/subtype`, with a name behind each type."""
    provider, *types = kinds.split("/")
    names = ["[a-zA-Z0-9][a-zA-Z0-9._-]*"] * (len(types) - 1) + [name]
    below = "".join(f"/{_any_case(kind)}/{each}" for kind, each in zip(types, names, strict=True))
    group = f"{_any_case('/subscriptions/')}{_UUID}{_any_case('/resourceGroups/')}{_GROUP}"
    return f"{group}{_any_case(f'/providers/{provider}')}{below}"


_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ML: Final = "Microsoft.MachineLearningServices"
_GROUP: Final = r"[\w().-]{0,89}[\w()-]"
_SYSTEM: Final = "boot|dev|etc|proc|run|sys|var/run|(usr/)?(bin|lib|lib32|lib64|libx32|sbin)"
"""Folders that an image's programs need: https://refspecs.linuxfoundation.org/FHS_3.0/fhs/ch03.html"""
_PROCESSORS: Final = "386|amd64(/v[1-4])?|arm(/v[5-8])?|arm64(/v[89])?|loong64|mips64le|ppc64le|riscv64|s390x"
"""https://github.com/docker-library/official-images#architectures-other-than-amd64"""
_INVISIBLE: Final = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
"""Characters of control, and those that show nothing: marks of direction and of byte order."""
_CREDENTIALS: Final = "|".join(
    map(
        _any_case,
        ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "ocp-apim-subscription-key"),
    )
)
"""Headers by which a client says who it is."""
_HOST_LABEL: Final = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_STORAGE_HOST: Final = rf"[^.]+\.(blob|file|queue|table|dfs)\.{_any_case('core.windows.net')}$"
_WORD: Final = "[a-zA-Z0-9][a-zA-Z0-9_-]*"
_ASSET: Final = "[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_LABEL: Final = "[a-zA-Z][a-zA-Z0-9-]*[a-zA-Z0-9]"

_DURATION: Final = Rule(
    "a duration",
    # Azure's own default of maxQueueWait is PT0.5S.
    r"PT(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{1,7})?S)?",
    "ISO 8601: PT, then hours, minutes, seconds",
    "PT10S",
    (4, 24),
)


def _registered(kind: str) -> str:
    """Compose the pattern of an asset of an Azure ML registry, which is no part of a subscription's ids.

    https://learn.microsoft.com/azure/machine-learning/how-to-use-environments (curated ones are in `azureml`)
    """
    version = "(versions/[a-zA-Z0-9_.-]+|labels/latest)"
    return f"azureml://registries/[a-zA-Z0-9_-]+/{kind}/{_ASSET}/{version}"


RULES: Mapping[str, Rule] = {
    "resourceGroup": Rule(
        "a resource group", _GROUP, "1 to 90 letters, digits and . _ - ( ), no . at the end", "scoring-dev", (1, 90)
    ),
    "registry": Rule("a registry name", "[a-zA-Z0-9]+", "5 to 50 letters and digits, no dash", "scoringdev", (5, 50)),
    "storageAccount": Rule("a storage account", "[a-z0-9]+", "3 to 24 small letters and digits", "scoringdev", (3, 24)),
    "vault": Rule(
        "a key vault",
        "[a-zA-Z](-?[a-zA-Z0-9])*",
        "3 to 24 letters, digits and single dashes, a letter first",
        "scoring-dev",
        (3, 24),
    ),
    "workspace": Rule("a workspace", _WORD, "3 to 33 letters, digits, - and _", "scoring-dev", (3, 33)),
    "logs": Rule(
        "a log analytics workspace",
        "[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]",
        "4 to 63 letters, digits and dashes, none at an end",
        "scoring-dev",
        (4, 63),
    ),
    "insights": Rule(
        "an Application Insights component",
        "[a-zA-Z0-9_().-]*[a-zA-Z0-9_()-]",
        "letters, digits and . _ - ( )",
        "scoring-dev",
        (1, 260),
    ),
    "identity": Rule("a managed identity", _WORD, "3 to 128 letters, digits, - and _", "scoring-dev-pull", (3, 128)),
    "connection": Rule("a workspace connection", _WORD, "3 to 33 letters, digits, - and _", "scoring-pull", (3, 33)),
    "secret": Rule("a vault secret", "[a-zA-Z0-9-]+", "1 to 127 letters, digits and dashes", "pull-password", (1, 127)),
    "endpoint": Rule(
        "an endpoint", _LABEL, "3 to 32 letters, digits and dashes, a letter first", "scoring-dev", (3, 32)
    ),
    "deployment": Rule("a deployment", _LABEL, "3 to 32 letters, digits and dashes, a letter first", "blue", (3, 32)),
    "environment": Rule(
        "an environment",
        "[a-zA-Z0-9][a-zA-Z0-9._-]*",
        "up to 255 letters, digits and . _ -",
        "sklearn-scoring",
        (1, 255),
    ),
    "password": Rule(
        "a password's name",
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        "1 to 32 small letters, digits and dashes",
        "2026-07",
        (1, 32),
    ),
    "repository": Rule(
        "a repository",
        f"{image_names.PART}(/{image_names.PART})*",
        "small letters and digits, parted by . _ - or /, without a tag",
        "scoring/sklearn",
        (1, 255),
    ),
    "location": Rule(
        "a location", "[a-z]+[0-9]?", "Azure's short form: small letters, no blank", "westeurope", (3, 40)
    ),
    "instanceType": Rule(
        "an instance type",
        f"{_any_case('Standard_')}[A-Za-z0-9_-]+",
        "a size's full name with Standard_",
        "Standard_DS3_v2",
        (10, 64),
    ),
    "route": Rule(
        "a route",
        # https://www.rfc-editor.org/rfc/rfc3986#section-3.3: TensorFlow Serving scores at /v1/models/NAME:predict.
        r"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*",
        "a path that starts with /",
        "/score",
        (1, 256),
        # https://www.rfc-editor.org/rfc/rfc3986#section-2.1 and #section-5.2.4
        (
            (r".*//|.*/\.\.?(/|$)", "every server reads // and .. in its own way; write the path that they lead to"),
            (".*%(?![0-9A-Fa-f]{2})", "% begins two hexadecimal digits; write %25 for the character itself"),
        ),
    ),
    "duration": _DURATION,
    # Kubernetes probes with a period and a timeout of a second or more:
    # https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
    "interval": replace(_DURATION, never=(("PT(0+[HMS])+$", "it takes no time at all; write PT1S or more"),)),
    "platform": Rule(
        "a platform",
        "linux/[a-z0-9]+(/[a-z0-9]+)?",
        "linux/ and an architecture",
        "linux/amd64",
        (8, 32),
        ((f"(?!linux/({_PROCESSORS})$)", "Docker builds for no such processor; write linux/amd64, or linux/arm64"),),
    ),
    "digest": Rule("a digest", "sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits", "sha256:3f0c…", (71, 71)),
    "imageReference": Rule(
        "an image reference",
        f"{image_names.NAME}{image_names.TAG}({image_names.DIGEST})?",
        "host/repository:tag, host/repository@sha256:… or both; repositories in small letters, Docker Hub's with "
        "docker.io/",
        "mcr.microsoft.com/azureml/curated/sklearn:12",
        (1, image_names.LONGEST),
        meant=image_names.full,
    ),
    "pinnedImage": Rule(
        "an image to promote",
        f"{image_names.NAME}{image_names.DIGEST}",
        "host/repository@sha256:…, because tags move; `docker buildx imagetools inspect IMAGE` tells the digest",
        "scoringdev.azurecr.io/scoring/sklearn@sha256:3f0c…",
        (1, image_names.LONGEST),
        meant=image_names.full,
    ),
    "vaultSecret": Rule(
        "a vault secret's id",
        rf"https://([a-zA-Z0-9-]+\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net)|localhost:{image_names.PORT})"
        "/secrets/[a-zA-Z0-9-]{1,127}(/[0-9a-f]{32})?",
        "https://VAULT.vault.azure.net/secrets/NAME, with /VERSION where it shall stay one",
        "what `az keyvault secret show --vault-name VAULT --name NAME --query id` prints",
    ),
    "registryId": Rule(
        "a registry's ARM id",
        _id("Microsoft.ContainerRegistry/registries", "[a-zA-Z0-9]+"),
        "/subscriptions/…/resourceGroups/…/providers/Microsoft.ContainerRegistry/registries/NAME",
        "what `az acr show --name NAME --query id` prints",
    ),
    "registryAddress": Rule(
        "a registry's address",
        image_names.HOST,
        "a host name, with a port where it has one, without https:// and path",
        "ghcr.io",
        (1, 255),
    ),
    "compute": Rule(
        "an attached compute", _LABEL, "2 to 16 letters, digits and dashes, a letter first", "scoring-aks", (2, 16)
    ),
    "computeId": Rule(
        "a compute's ARM id",
        _id(f"{_ML}/workspaces/computes", "[a-zA-Z0-9-]+"),
        "/subscriptions/…/workspaces/NAME/computes/NAME",
        "what `az ml compute show --name NAME --query id` prints",
    ),
    "clusterId": Rule(
        "a cluster's ARM id",
        f"{_id('Microsoft.ContainerService/managedClusters')}|{_id('Microsoft.Kubernetes/connectedClusters')}",
        "/subscriptions/…/Microsoft.ContainerService/managedClusters/NAME, or …Kubernetes/connectedClusters/NAME",
        "what `az aks show --name NAME --resource-group GROUP --query id` prints",
    ),
    "identityId": Rule(
        "a managed identity's ARM id",
        _id("Microsoft.ManagedIdentity/userAssignedIdentities", _WORD),
        "/subscriptions/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME",
        "what `az identity show --name NAME --resource-group GROUP --query id` prints",
    ),
    "logWorkspaceId": Rule(
        "a log analytics workspace's ARM id",
        _id("Microsoft.OperationalInsights/workspaces", "[a-zA-Z0-9][a-zA-Z0-9-]*"),
        "/subscriptions/…/providers/Microsoft.OperationalInsights/workspaces/NAME",
        "what `az monitor log-analytics workspace show --name NAME --resource-group GROUP --query id` prints",
    ),
    "namespace": Rule(
        "a Kubernetes namespace",
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        "1 to 63 small letters, digits and dashes, none at an end",
        "scoring",
        (1, 63),
    ),
    "kubernetesInstanceType": Rule(
        "an instance type of a cluster",
        "[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
        "the name of an InstanceType resource: small letters, digits, dashes and dots",
        "defaultinstancetype",
        (1, 253),
    ),
    "cpu": Rule(
        "an amount of CPU", r"[0-9]{1,4}(\.[0-9]{1,3})?|[0-9]{1,7}m", "cores, or thousandths with m", "500m", (1, 8)
    ),
    "memory": Rule(
        "an amount of memory",
        r"[0-9]{1,6}(\.[0-9]{1,3})?([KMGT]i|[kMGT])",
        "a number with Ki, Mi, Gi, Ti or k, M, G, T",
        "2Gi",
        (2, 12),
    ),
    "collection": Rule(
        "a data collection", "[A-Za-z0-9][A-Za-z0-9_-]*", "letters, digits, _ and -", "model_inputs", (1, 255)
    ),
    "workspaceId": Rule(
        "a workspace's ARM id",
        _id(f"{_ML}/workspaces", _WORD),
        "/subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/NAME",
        "what `az ml workspace show --name NAME --query id` prints",
    ),
    "assetLabel": Rule("a registered asset's name", _ASSET, "up to 255 letters, digits, - _ and .", "iris", (1, 255)),
    "asset": Rule("a model's or code's name", _WORD, "up to 255 letters, digits, - and _", "iris", (1, 255)),
    "modelReference": Rule(
        "a registered model",
        rf"azureml:{_ASSET}(:[1-9][0-9]*|@latest)|{_registered('models')}"
        f"|{_id(f'{_ML}/workspaces/models/versions', '[1-9][0-9]*')}",
        "azureml:NAME:NUMBER, azureml:NAME@latest, azureml://registries/REGISTRY/models/NAME/versions/N, or an ARM id",
        "azureml:iris:3",
    ),
    "environmentReference": Rule(
        "a registered environment",
        f"azureml:{_ASSET}(:[a-zA-Z0-9_.-]+|@latest)|{_registered('environments')}"
        f"|{_id(f'{_ML}/workspaces/environments/versions')}",
        "azureml:NAME:VERSION, azureml:NAME@latest, azureml://registries/R/environments/NAME/versions/V, or an ARM id",
        "azureml:sklearn:4",
    ),
    "collectedData": Rule(
        "a place of collected data",
        # https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data
        rf"azureml://(subscriptions/{_UUID}/resource[gG]roups/{_GROUP}/workspaces/{_WORD}/)?datastores/{_WORD}"
        rf"/paths/[^/\\?#%\s{_INVISIBLE}][^\\?#%\s{_INVISIBLE}]*"
        rf"|azureml:{_ASSET}:[a-zA-Z0-9_.-]+|{_id(f'{_ML}/workspaces/data/versions')}",
        "azureml://datastores/NAME/paths/FOLDER, azureml:NAME:VERSION of a registered data asset, or its ARM id",
        "azureml://datastores/workspaceblobstore/paths/collected",
    ),
    "endpointId": Rule(
        "an endpoint's ARM id",
        _id(f"{_ML}/workspaces/onlineEndpoints"),
        "/subscriptions/…/workspaces/NAME/onlineEndpoints/NAME",
        "the id of an OnlineEndpoint",
    ),
    "environmentId": Rule(
        "an environment version's ARM id",
        f"{_id(f'{_ML}/workspaces/environments/versions')}|{_id(f'{_ML}/registries/environments/versions')}"
        f"|{_registered('environments')}",
        "/subscriptions/…/environments/NAME/versions/VERSION",
        "the id of an EnvironmentVersion",
    ),
    "modelId": Rule(
        "a model version's ARM id",
        f"{_id(f'{_ML}/workspaces/models/versions')}|{_id(f'{_ML}/registries/models/versions')}"
        f"|{_registered('models')}",
        "/subscriptions/…/models/NAME/versions/VERSION",
        "the id of a ModelVersion",
    ),
    "codeId": Rule(
        "a code version's ARM id",
        f"{_id(f'{_ML}/workspaces/codes/versions')}|{_id(f'{_ML}/registries/codes/versions')}",
        "/subscriptions/…/codes/NAME/versions/VERSION",
        "the id of a CodeVersion",
    ),
    "version": Rule(
        "a version", "[A-Za-z0-9][A-Za-z0-9_.-]*", "at most 30 letters, digits, - _ and .", "3f0c2a91b7de", (1, 30)
    ),
    "modelVersion": Rule("a model's version", "[1-9][0-9]*", "a positive whole number", "3", (1, 10)),
    "contentKey": Rule("a content key", "[0-9a-f]+", "12 to 64 hexadecimal digits", "3f0c2a91b7de", (12, 64)),
    "mountPath": Rule(
        "a mount path",
        r"/(?!.*\.\.)[a-zA-Z0-9_./-]+",
        "an absolute path in the container, without ..",
        "/var/models",
        (2, 255),
        # A mount hides what the image has there: https://docs.docker.com/engine/storage/bind-mounts/
        (
            (rf"(/\.?)+({_SYSTEM})(/|$)", "the mount would hide the image's own system there; write another folder"),
            (
                r"(/\.?)+(home|opt|root|srv|usr(/(local|share))?|var(/lib)?)?(/\.?)*$",
                "the mount would hide all that the image has there; write a folder below",
            ),
        ),
    ),
    "entryScript": Rule(
        "an entry script",
        r"(?!/)(?!.*\.\.)[a-zA-Z0-9_./ -]+\.[a-zA-Z0-9]+",
        "a file's path seen from the code's folder",
        "score.py",
        (4, 255),
    ),
    "baseImage": Rule(
        "a base image",
        f"({image_names.HOST}/)?{image_names.PART}(/{image_names.PART})*{image_names.TAG}({image_names.DIGEST})?",
        "host/repository:tag or host/repository@sha256:…",
        "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1",
        (1, image_names.LONGEST),
        meant=image_names.full,
    ),
    "python": Rule("a Python version", r"3\.[0-9]{1,2}(\.[0-9]{1,2})?", "its numbers, in quotes", '"3.11"', (3, 7)),
    "line": Rule(
        "a build argument", r"[^\x00-\x1f]*", "one line of text; put a longer one into a file", "1.2", (0, 65536)
    ),
    "stage": Rule("a build stage", "[a-zA-Z0-9_.-]+", "letters, digits, _ . and -", "runtime", (1, 255)),
    "variable": Rule(
        "an environment variable",
        "[A-Za-z_][A-Za-z0-9_]*",
        "letters, digits and _, no digit first",
        "LOG_LEVEL",
        (1, 255),
    ),
    "timeOfDay": Rule(
        "a time of day", "([01][0-9]|2[0-3]):[0-5][0-9]", "hours and minutes, in quotes", '"08:00"', (5, 5)
    ),
    "tagName": Rule(
        "a tag's name",
        r"[^<>%&\\?/\x00-\x1f\x7f]+",
        "up to 512 characters, none of <>%&\\?/",
        "owner",
        never=(
            # https://learn.microsoft.com/rest/api/resources/tags/create-or-update
            (
                "|".join(map(_any_case, ("microsoft", "azure", "windows"))),
                "names that begin with microsoft, azure or windows are Azure's own; write another",
            ),
        ),
    ),
    "tagValue": Rule("a tag's value", r"[^\x00-\x1f\x7f]*", "up to 256 characters on one line", "data-team", (0, 256)),
    "date": Rule(
        "a date",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
        "a moment in UTC as RFC 3339",
        "2027-01-31T00:00:00Z",
        (20, 20),
    ),
    "text": Rule("it", rf"(?=.*\S)[^{_INVISIBLE}]+", "one line of visible characters", "app", (1, 4096)),
    "lines": Rule(
        "a text",
        r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*",
        "no characters of control but tabs and ends of lines",
        "a text",
        (0, 65536),
    ),
    "network": Rule(
        "a virtual network",
        "[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9_])?",
        "2 to 50 letters, digits and . _ -",
        "scoring-dev-net",
        # Azure takes 64; names of its private endpoints begin with it.
        (2, 50),
    ),
    "subnet": Rule(
        "a subnet",
        f"made|{_id('Microsoft.Network/virtualNetworks/subnets')}",
        "made, or /subscriptions/…/Microsoft.Network/virtualNetworks/NAME/subnets/NAME",
        "what `az network vnet subnet show --vnet-name NAME --name NAME --resource-group GROUP --query id` prints",
    ),
    "privateZone": Rule(
        "a private DNS zone",
        f"made|none|{_id('Microsoft.Network/privateDnsZones')}",
        "made, none, or /subscriptions/…/Microsoft.Network/privateDnsZones/NAME",
        "what `az network private-dns zone show --name NAME --resource-group GROUP --query id` prints",
    ),
    "resourceId": Rule(
        "a resource's ARM id",
        f"{_any_case('/subscriptions/')}{_UUID}{_any_case('/resourceGroups/')}{_GROUP}{_any_case('/providers/')}"
        "[a-zA-Z.]+(/[a-zA-Z]+/[a-zA-Z0-9._-]+)+",
        "/subscriptions/…/resourceGroups/…/providers/PROVIDER/TYPE/NAME",
        "what `az resource show --query id` prints",
    ),
    # The name's pattern in ARM's `outboundRules`.
    "outboundRule": Rule(
        "an outbound rule", "[a-zA-Z0-9][a-zA-Z0-9_-]*", "3 to 33 letters, digits, - and _", "packages", (3, 33)
    ),
    "fqdn": Rule(
        "a host name",
        rf"(\*\.)?({_HOST_LABEL}\.)+{_HOST_LABEL}",
        "a full host name, or *. and a domain, without https://, port and path",
        "packages.example.com",
        (4, 255),
        # https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#limitations
        (
            (
                _STORAGE_HOST,
                "a managed network reaches no storage account by its name; write privateEndpoint and target",
            ),
        ),
    ),
    "serviceTag": Rule(
        "a service tag",
        r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)?",
        "its name, with .REGION where it has one",
        "AzureMonitor",
    ),
    "ports": Rule(
        "a list of ports",
        r"[0-9]{1,5}(-[0-9]{1,5})?(, ?[0-9]{1,5}(-[0-9]{1,5})?)*|\*",
        "ports and ranges with commas between them, or *",
        "443",
        (1, 255),
    ),
    "groupId": Rule("a part of a resource", "[a-zA-Z][a-zA-Z0-9_]*", "its group id", "blob", (1, 80)),
    "range": Rule(
        "a range of addresses",
        r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?",
        "an IPv4 address, or a range in CIDR notation",
        "203.0.113.0/24",
        (7, 18),
        (
            (r"0\.0\.0\.0(/|$)|.*/0$", "that is the whole internet; take it out, and write publicAccess: true"),
            # https://learn.microsoft.com/azure/storage/common/storage-network-security-limitations
            (
                r"10\.|172\.(1[6-9]|2[0-9]|3[01])\.|192\.168\.",
                "rules know addresses of the internet only; private ones come in by network.privateEndpoints",
            ),
        ),
    ),
    # https://www.rfc-editor.org/rfc/rfc7617#section-2
    "username": Rule("a user name", rf"[^:{_INVISIBLE}]+", "one line without a colon", "deploy", (1, 255)),
    # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
    "header": Rule(
        "a header's name",
        "[a-zA-Z0-9!#$%&'*+.^_`|~-]+",
        "letters, digits and dashes",
        "x-request-id",
        (1, 255),
        ((f"({_CREDENTIALS})$", "it carries credentials, and whoever reads the storage would have them; take it out"),),
    ),
}
"""Each kind of text that Azure limits, by the name the code uses for it."""


_SEGMENTS: Final = {
    segment.lower(): segment
    for segment in (
        *("subscriptions", "resourceGroups", "providers", _ML, "workspaces", "models", "environments", "versions"),
        *("Microsoft.ContainerRegistry", "registries"),
    )
}
"""Segments of ARM ids that are no names, in Azure's spelling."""
_NAMES: Final = (2, 4, 8, 10, 12)
"""Segments of ARM ids that are names."""
_SPELLED: Final = ("registryId", "workspaceId", "modelReference", "environmentReference")
"""Kinds of ids that are written in Azure's spelling: names and other ids are made of them."""


def checked(kind: str, text: str) -> str:
    """Return a text that obeys its rule, an ARM id in Azure's spelling; else raise a ValueError with the rule."""
    problem = RULES[kind].problem(text)
    if problem:
        raise ValueError(problem)
    return spelled_id(text) if kind in _SPELLED and text.startswith("/") else text


def spelled_id(text: str) -> str:
    """Write an ARM id as Azure does; names stay as they are."""
    segments = enumerate(text.split("/"))
    return "/".join(each if n in _NAMES else _SEGMENTS.get(each.lower(), each) for n, each in segments)


def spelled_size(text: str) -> str:
    """Write a machine size as Azure does: Standard_NC4as_T4_v3; an instance type of a cluster stays as it is.

    https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions: family in capitals, features in small
    letters behind the number, an accelerator in capitals, the version as v and its number.
    """
    prefix, *parts = text.split("_")
    if prefix.lower() != "standard" or not parts:
        return text
    size = re.sub("^[A-Za-z]+", lambda family: family[0].upper(), parts[0].lower())
    return "_".join(["Standard", size, *(re.sub(r"^V(?=\d+$)", "v", part.upper()) for part in parts[1:])])


@dataclass(frozen=True)
class _of:  # noqa: N801 - reads as a word in the types below
    """A kind of text in a model: checked by its rule, and described by it in a JSON Schema."""

    kind: str

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(partial(checked, self.kind), handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        rule = RULES[self.kind]
        # A field may be narrower than its rule.
        described = {
            "pattern": rule.whole,
            "minLength": rule.length[0],
            "maxLength": rule.length[1],
            "examples": [rule.example],
            # Not in the standard; editors show it instead of the pattern.
            "patternErrorMessage": f"{rule.what} takes {rule.words}",
        }
        return described | handler(core)


def _not_bool(value: object) -> object:
    """Refuse true and false, which Python takes for 1 and 0, and whole numbers that Azure has no room for."""
    if isinstance(value, bool):
        raise ValueError("write a number")  # noqa: TRY004 - pydantic takes this one for a finding
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"write {_LARGEST} at most")
    return value


def _distinct(names: NamesT) -> NamesT:
    """Refuse names that differ only in case: for Azure they are one name."""
    known: dict[str, str] = {}
    for name in names:
        if (twin := known.setdefault(name.lower(), name)) != name:
            raise ValueError(f"{twin} and {name} are one name for Azure, which knows no case; take out one of them")
    return names


def _in_calendar(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            "no calendar or clock has it; write a moment that comes, such as 2027-01-31T00:00:00Z"
        ) from None
    return text


def _network(text: str) -> str:
    """Refuse what is no range, or names addresses inside one: https://www.rfc-editor.org/rfc/rfc4632#section-3.1."""
    try:
        interface = ip_interface(text)
    except ValueError:
        raise ValueError("there is no such address; for instance 203.0.113.0/24") from None
    if interface.ip != interface.network.network_address:
        raise ValueError(f"a range begins with its first address; write {interface.network}")
    return text


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what no request can send: dates of YAML, infinite numbers, halves of characters."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("it must be JSON: texts in quotes, finite numbers, lists and objects") from None
    return value


def seconds_of(duration: str) -> float:
    """Turn a duration that obeys its rule into seconds."""
    match = re.fullmatch("PT(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9.]+)S)?", duration)
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds


def duration_of(seconds: float) -> str:
    """Write seconds as a duration, to the millisecond."""
    return f"PT{round(seconds, 3):g}S" if seconds < _EXACT else f"PT{round(seconds)}S"


ResourceGroupName = Annotated[str, _of("resourceGroup")]
RegistryName = Annotated[str, _of("registry")]
StorageAccountName = Annotated[str, _of("storageAccount")]
VaultName = Annotated[str, _of("vault")]
WorkspaceName = Annotated[str, _of("workspace")]
EndpointName = Annotated[str, _of("endpoint")]
DeploymentName = Annotated[str, _of("deployment")]
PasswordName = Annotated[str, _of("password")]
Repository = Annotated[str, _of("repository")]
Location = Annotated[str, _of("location")]
Route = Annotated[str, _of("route")]
Duration = Annotated[str, _of("duration")]
"""It may be none."""
Interval = Annotated[str, _of("interval")]
"""It is longer than none."""
Platform = Annotated[str, _of("platform")]
Digest = Annotated[str, _of("digest")]
ImageReference = Annotated[str, _of("imageReference")]
PinnedImage = Annotated[str, _of("pinnedImage")]
VaultSecretId = Annotated[str, _of("vaultSecret")]
RegistryId = Annotated[str, _of("registryId")]
RegistryAddress = Annotated[str, _of("registryAddress")]
WorkspaceId = Annotated[str, _of("workspaceId")]
AssetName = Annotated[str, _of("asset")]
AssetLabel = Annotated[str, _of("assetLabel")]
EndpointId = Annotated[str, _of("endpointId")]
EnvironmentId = Annotated[str, _of("environmentId")]
ModelId = Annotated[str, _of("modelId")]
CodeId = Annotated[str, _of("codeId")]
ComputeId = Annotated[str, _of("computeId")]
Version = Annotated[str, _of("version")]
ModelVersionNumber = Annotated[str, _of("modelVersion")]
ContentKey = Annotated[str, _of("contentKey")]
ModelReference = Annotated[str, _of("modelReference")]
EnvironmentReference = Annotated[str, _of("environmentReference")]
BaseImage = Annotated[str, _of("baseImage")]
PythonVersion = Annotated[str, _of("python")]
EnvironmentName = Annotated[str, _of("environment")]
CollectedData = Annotated[str, _of("collectedData")]
MountPath = Annotated[str, _of("mountPath")]
EntryScript = Annotated[str, _of("entryScript")]
ClusterId = Annotated[str, _of("clusterId")]
IdentityId = Annotated[str, _of("identityId")]
LogWorkspaceId = Annotated[str, _of("logWorkspaceId")]
Subnet = Annotated[str, _of("subnet")]
PrivateZone = Annotated[str, _of("privateZone")]
ResourceId = Annotated[str, _of("resourceId")]
OutboundName = Annotated[str, _of("outboundRule")]
Fqdn = Annotated[str, _of("fqdn")]
ServiceTag = Annotated[str, _of("serviceTag")]
Ports = Annotated[str, _of("ports")]
GroupId = Annotated[str, _of("groupId")]
Range = Annotated[str, _of("range"), AfterValidator(_network)]
Namespace = Annotated[str, _of("namespace")]
Cpu = Annotated[str, _of("cpu")]
Memory = Annotated[str, _of("memory")]
CollectionName = Annotated[str, _of("collection")]
VariableName = Annotated[str, _of("variable")]
TagName = Annotated[str, _of("tagName")]
TagValue = Annotated[str, _of("tagValue")]
TimeOfDay = Annotated[str, _of("timeOfDay")]
Moment = Annotated[str, _of("date"), AfterValidator(_in_calendar)]
AutoscaleMetric = Literal[
    "CpuUtilizationPercentage",
    "CpuMemoryUtilizationPercentage",
    "DiskUtilization",
    "GpuUtilizationPercentage",
    "GpuMemoryUtilizationPercentage",
    "RequestsPerMinute",
    "RequestLatency_P50",
    "RequestLatency_P90",
    "RequestLatency_P95",
    "RequestLatency_P99",
    "ConnectionsActive",
    "NetworkBytes",
    "NewConnectionsPerSecond",
    "RequestLatency",
]
"""Metrics that say how busy a managed deployment, or an endpoint, is; utilizations are the deployment's alone.
https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-machinelearningservices-workspaces-onlineendpoints-deployments-metrics
https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-machinelearningservices-workspaces-onlineendpoints-metrics
"""
_ENDPOINTS_ALONE: Final = ("ConnectionsActive", "NetworkBytes", "NewConnectionsPerSecond", "RequestLatency")
METRICS: Final = {
    "deployment": tuple(each for each in get_args(AutoscaleMetric) if each not in _ENDPOINTS_ALONE),
    "endpoint": tuple(each for each in get_args(AutoscaleMetric) if "Utilization" not in each),
}
"""Metrics by what they are measured of."""
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NotBool = BeforeValidator(_not_bool)
"""Marks a number that `true` is not."""
Percent = Annotated[int, Field(ge=0, le=100), NotBool]
Step = Annotated[int, Field(ge=1, le=100), NotBool]
Port = Annotated[int, Field(ge=1, le=65535), NotBool]
Json = Annotated[dict[str, Any], AfterValidator(_json)]
Line = Annotated[str, _of("line")]
Stage = Annotated[str, Field(min_length=1), _of("stage")]
ComputeName = Annotated[str, _of("compute")]
Text = Annotated[str, Field(min_length=1, max_length=4096), _of("text")]
InstanceType = Annotated[Text, AfterValidator(spelled_size)]
Lines = Annotated[str, _of("lines")]
Description = Annotated[Lines, Field(max_length=256)]
UserName = Annotated[str, _of("username")]
Headers = Annotated[list[Annotated[str, _of("header")]], AfterValidator(_distinct)]
Distinct = AfterValidator(_distinct)
"""Marks names that differ in more than case."""
Tags = Annotated[dict[TagName, TagValue], Field(max_length=50), Distinct]
"""At most 50: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources"""
