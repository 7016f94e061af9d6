"""Each managed field is changed behind the program's back: the drift job tells it and nothing else, `up` repairs it.

Two stacks have every kind of resource between them: one on managed machines, one on Kubernetes. Which fields there are
follows from the state: all that the program has written of each resource. How Azure calls one is known from its
declaration (own resources) and from azure-native's rules (`ResourceSpec`). A new field is changed like the others, or
the test fails until it is known why it cannot be.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pytest
from azureml_scoring.delivery import changes, drift
from azureml_scoring.provider.registry import RESOURCES
from azureml_scoring.settings.section import Arm, marker
from pydantic.alias_generators import to_camel

from emulator.protocols.providers.azure_native import TYPES
from tests.conftest import Cloud
from tests.modes import (
    QUICK,
    SERVER,
    configure,
    kubernetes_cluster,
    registry_of_its_own,
    served,
    shelve,
    workspace,
    write_image,
)
from tests.project import LocalAzure, Project, scheduled

pytestmark = pytest.mark.slow

Json = dict[str, Any]
Keys = tuple[str | int, ...]
NATIVE = {spec.token: spec for spec in TYPES}
SECONDS = {"PT1S": "PT2S", "PT2S": "PT3S", "PT30S": "PT31S", "PT1M": "PT2M", "PT5M": "PT10M"}
OTHERS: dict[str, Any] = {
    "Enabled": "Disabled",
    "Disabled": "Enabled",
    "enabled": "disabled",
    **SECONDS,
    "Application.signInAudience": "AzureADMultipleOrgs",
    "AutoscaleSetting.profiles.0.capacity.default": "3",
    "AutoscaleSetting.profiles.0.capacity.maximum": "4",
    "AutoscaleSetting.profiles.0.capacity.minimum": "2",
    "AutoscaleSetting.profiles.0.rules.0.metricTrigger.metricName": "CpuMemoryUtilizationPercentage",
    "AutoscaleSetting.profiles.0.rules.0.metricTrigger.operator": "LessThan",
    "AutoscaleSetting.profiles.0.rules.0.metricTrigger.statistic": "Max",
    "AutoscaleSetting.profiles.0.rules.0.metricTrigger.timeAggregation": "Maximum",
    "AutoscaleSetting.profiles.0.rules.0.scaleAction.direction": "Decrease",
    "AutoscaleSetting.profiles.0.rules.0.scaleAction.type": "ExactCount",
    "AutoscaleSetting.profiles.0.rules.0.scaleAction.value": "2",
    "AutoscaleSetting.profiles.0.recurrence.schedule.days.0": "Tuesday",
    "AutoscaleSetting.profiles.0.recurrence.schedule.days.1": "Sunday",
    "AutoscaleSetting.profiles.0.recurrence.schedule.timeZone": "Romance Standard Time",
    "AutoscaleSetting.profiles.1.rules.0.metricTrigger.metricName": "RequestsPerMinute",
    "OnlineDeployment.containerResourceRequirements.containerResourceLimits.cpu": "600m",
    "OnlineDeployment.containerResourceRequirements.containerResourceLimits.memory": "512Mi",
    "OnlineDeployment.containerResourceRequirements.containerResourceRequests.cpu": "200m",
    "OnlineDeployment.scoringScript": "other.py",
    "Component.ingestionMode": "ApplicationInsights",
    "Component.kind": "ios",
    "DiagnosticSetting.logs.0.category": "AmlOnlineEndpointEventLog",
    "EndpointTraffic.traffic.blue": 0,
    "OnlineDeployment.dataCollector.collections.request.samplingRate": 0.25,
    "OnlineDeployment.dataCollector.collections.response.samplingRate": 0.25,
    "OnlineDeployment.dataCollector.rollingRate": "Day",
    "OnlineDeployment.instanceType": "Standard_DS2_v2",
    "OnlineDeployment.modelMountPath": "/var/other",
    "OnlineEndpoint.authMode": "AMLToken",
    "Registry.networkRuleBypassOptions": "None",
    "Registry.sku.name": "Standard",
    "StorageAccount.minimumTlsVersion": "TLS1_0",
    "StorageAccount.sku.name": "Standard_GRS",
    "Vault.properties.sku.name": "premium",
    "Workspace.sku.name": "Standalone",
}
"""Another value, by the value itself or by the field; without one it is negated, raised, or longer by a letter."""
THEIRS: dict[str, Callable[["Managed", str], str]] = {
    "Component.workspaceResourceId": lambda _, theirs: _beside(theirs, "Microsoft.OperationalInsights/workspaces"),
    "DiagnosticSetting.workspaceId": lambda _, theirs: _beside(theirs, "Microsoft.OperationalInsights/workspaces"),
    "Workspace.applicationInsights": lambda _, theirs: _beside(theirs, "Microsoft.Insights/components"),
    "Workspace.containerRegistry": lambda field, _: re.sub("own(?=[0-9a-f]+$)", "acr", field.value),
    "OnlineDeployment.environmentId": lambda field, _: _other_version(field.value),
    "OnlineDeployment.modelId": lambda field, _: _other_version(field.value),
    "OnlineDeployment.codeId": lambda field, _: _other_version(field.value),
    "OnlineDeployment.dataCollector.collections.request.dataId": lambda field, _: _other_version(field.value),
    "AutoscaleSetting.targetResourceUri": lambda field, _: field.value.replace("/green", "/blue"),
    "AutoscaleSetting.profiles.0.rules.0.metricTrigger.metricResourceUri": lambda field, _: field.value.replace(
        "/green", "/blue"
    ),
    "AutoscaleSetting.profiles.1.rules.0.metricTrigger.metricResourceUri": lambda field, _: (
        f"{field.value}/deployments/blue"
    ),
    "AutoscaleSetting.profiles.0.name": lambda field, _: re.sub("(office|default)", r"\1x", field.value),
}
"""Other values that are ids: of what stands beside their workspace, or of what else the stack has."""
UNCHANGEABLE = {
    # Azure moves nothing.
    *("location",),
    # https://learn.microsoft.com/azure/role-based-access-control/role-assignments: deleted and assigned anew.
    *("RoleAssignment.principalId", "RoleAssignment.principalType", "RoleAssignment.roleDefinitionId"),
    # https://learn.microsoft.com/azure/templates/microsoft.keyvault/vaults
    *("Vault.properties.enableSoftDelete", "Vault.properties.softDeleteRetentionInDays"),
    *("Vault.properties.sku.family", "Vault.properties.tenantId"),
    # https://learn.microsoft.com/azure/storage/common/storage-account-upgrade: up to StorageV2, and never back.
    "StorageAccount.kind",
    # Marked `create, read` in the API's specification; azure-native replaces the component.
    "Component.applicationType",
    # https://learn.microsoft.com/azure/container-registry/zone-redundancy
    "Registry.zoneRedundancy",
    # https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces
    *("Workspace.keyVault", "Workspace.storageAccount", "Workspace.identity.type"),
    # https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online-auth: chosen when it is created.
    *("OnlineEndpoint.identityType", "OnlineEndpoint.userAssignedIdentities.0"),
    # https://learn.microsoft.com/azure/machine-learning/how-to-attach-kubernetes-to-workspace: detached and attached.
    *("Compute.properties.computeType", "Compute.properties.resourceId", "Compute.properties.properties.namespace"),
    *("Compute.identity.type", "OnlineEndpoint.compute"),
    # https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-multiprofile: weeks, and no other.
    *(f"AutoscaleSetting.profiles.{number}.recurrence.frequency" for number in (1, 2)),
    # A version of an environment or a model is immutable.
    *(f"EnvironmentVersion.{each}" for each in ("image", "livenessPath", "readinessPath", "scoringPath", "port")),
    "ModelVersion.modelType",
    # What a connection is; a diagnostic setting knows one category of metrics.
    *("WorkspaceConnection.properties.authType", "WorkspaceConnection.properties.category"),
    "DiagnosticSetting.metrics.0.category",
    # https://learn.microsoft.com/graph/api/resources/passwordcredential: added and removed, never changed.
    *(f"ApplicationPassword.{each}" for each in ("applicationId", "displayName", "endDate")),
    "ServicePrincipal.clientId",
}
"""Fields that Azure does not change: what it does instead is another resource."""
UNSEEN = {"WorkspaceConnection.properties.credentials.username", "WorkspaceConnection.properties.credentials.password"}
UNSEEN |= {"Secret.properties.value"}
"""Fields that Azure answers to nobody who only reads."""
LEFT_ALONE = {
    # Who deployed first stays the owner.
    *("Application.owners.0", "ServicePrincipal.owners.0"),
    # The tag says which image is about to run; the environment decides.
    "OnlineDeployment.tags.image",
}
"""Fields that the program writes once, or for people to read."""
OF_OTHERS = {
    # Named by the id: another name is another resource. Native resources say it themselves (`ResourceSpec`).
    *(f"OnlineEndpoint.{each}" for each in ("workspaceId", "endpointName")),
    *(f"OnlineDeployment.{each}" for each in ("endpointId", "deploymentName", "kind")),
    "EndpointTraffic.endpointId",
    *(
        f"{kind}Version.{each}"
        for kind in ("Environment", "Model", "Code", "Data")
        for each in ("workspaceId", "environmentName" if kind == "Environment" else "assetName", "version")
    ),
    *(f"RoleAssignment.{each}" for each in ("assignmentName", "scope")),
    # The program's own: what it waits for, how it shifts traffic, from where it uploads and by which key it knows that.
    *("OnlineDeployment.pullGrant", "OnlineDeployment.autoscaled"),
    *(f"EndpointTraffic.{each}" for each in ("bakeSeconds", "mirrorFirst", "tolerance")),
    *(f"{kind}Version.{each}" for kind in ("Model", "Code", "Data") for each in ("path", "contentKey")),
}
"""Inputs that are no field of Azure's document."""
PINS = {"ImageBuild", "ImageImport", "ImagePin"}
"""Resources without a document: a digest is what it is. A tag that has moved is a line of the report."""
OF_KUBERNETES = {"OnlineEndpoint.publicNetworkAccess"}
"""Fields that do not change on Kubernetes: the cluster's own network decides."""
ROUNDS = {"managed": 3, "kubernetes": 1}
"""The stacks, and in how many rounds their fields are changed."""
SEEN: dict[str, set[str]] = {}
"""What each stack has written."""
PARTS = {"Registry", "StorageAccount", "Vault", "Component", "Workspace", "ResourceGroup"}
"""What both stacks have around the endpoint; it is changed in one of them."""
OF_THE_TIER = {("scoring-own-registry", "publicNetworkAccess"), ("scoring-own-registry", "anonymousPullEnabled")}
"""Fields that a registry has by its tier: https://learn.microsoft.com/azure/container-registry/container-registry-skus"""
ALONE = {"sku", "metrics"}
"""Fields that go with others: a tier with what it offers, a diagnostic setting's last category with the first."""


@dataclass(frozen=True)
class Managed:
    """One value that the program has written."""

    resource: str
    """Logical name."""
    id: str
    type: str
    path: Keys
    """In Pulumi's inputs."""
    place: Keys
    """In Azure's document."""
    value: Any

    @property
    def name(self) -> str:
        """Type and path."""
        return ".".join([self.type.rpartition(":")[2], *map(str, self.path)])

    def other(self, theirs: str) -> Any:  # noqa: ANN401 - JSON
        """Another value that Azure takes; `theirs` is the workspace of somebody else."""
        for name in (self.name, re.sub(r"profiles\.[12]", "profiles.0", self.name)):
            if name in THEIRS:
                return THEIRS[name](self, theirs)
            if name in OTHERS:
                return OTHERS[name]
        if isinstance(self.value, bool):
            return not self.value
        if isinstance(self.value, int | float):
            return self.value + 1
        return OTHERS.get(self.value, f"{self.value}x")


def _other_version(id_: str) -> str:
    """Another version of an asset, by its id: one that somebody else has registered."""
    head, _, version = id_.rpartition("/")
    return f"{head}/{'2' if version.isdigit() else 'other'}"


def _beside(workspace_id: str, type_: str) -> str:
    """What stands beside a workspace, under its name."""
    group, _, name = workspace_id.partition("/providers/")
    return f"{group}/providers/{type_}/{name.rpartition('/')[2]}"


def managed(resource: Json) -> Iterator[Managed]:
    """All that the program has written of a resource, leaf by leaf."""
    name, type_ = resource["urn"].rpartition("::")[2], resource["type"]
    for top, value in resource["inputs"].items():
        if top.startswith("__") or top in getattr(NATIVE.get(type_), "parameters", ()):
            continue
        place = _place(type_, top)
        for path, leaf in _leaves(value, ()):
            whole = (*place, *path) if place else ()
            yield Managed(name, resource["id"].removesuffix("/traffic"), type_, (top, *path), whole, leaf)


def _place(type_: str, top: str) -> Keys:
    """Where an input lies in Azure's document; empty where it names the resource or steers the provider alone."""
    if top in {"tags", "modelType"} and type_.endswith("Version"):
        return ("properties", top)
    if spec := NATIVE.get(type_):
        inside = spec.flat and top not in spec.envelope
        return ("properties", spec.arm_names.get(top, top)) if inside else (top,)
    if own := RESOURCES.get(type_):
        field = next(each for name, each in own.inputs.model_fields.items() if to_camel(name) == top)
        arm = marker(field, Arm)
        return tuple(arm.places[0].split(".")) if arm and arm.places else ()
    return (top,)


def _leaves(value: Any, path: Keys) -> Iterator[tuple[Keys, Any]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict) and "ciphertext" not in value:
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, (*path, number))
    else:
        yield path, value


def _answered(type_: str) -> set[str]:
    """The properties that Azure answers and takes from nobody."""
    spec = NATIVE.get(type_)
    return {"Name", *(spec.arm_names.get(name, name) for name in spec.computed)} if spec else set()


def _at(document: Any, keys: Keys) -> Any:  # noqa: ANN401 - JSON
    for key in keys:
        document = document[key]
    return document


@dataclass
class Intruder:
    """Somebody with rights of their own, who changes what the stack has made."""

    cloud: Cloud
    theirs: str
    """A workspace that is none of the stack's."""

    def change(self, fields: list[Managed]) -> None:
        """Change fields of one resource, as its clients do: read it, change it, write it."""
        before = self.read(fields[0])
        for field in fields:
            *parents, last = field.place
            _at(before, tuple(parents))[last] = field.other(self.theirs)
        self._write(fields[0], before)
        after = self.read(fields[0])
        assert [field.name for field in fields if _at(after, field.place) != field.other(self.theirs)] == []

    def read(self, field: Managed) -> Json:
        """The resource that a field is of."""
        answer = self._graph("GET", field) if field.type.startswith("azuread:") else self.cloud.ask("GET", field.id)
        assert answer.is_success, answer.text
        document: Json = answer.json()
        return document

    def _write(self, field: Managed, document: Json) -> None:
        if field.type.startswith("azuread:"):
            answer = self._graph("PATCH", field, {key: document[key] for key in map(str, field.place[:1])})
        else:
            document.pop("systemData", None)
            # Azure ML says "" for what is not there, and takes only null for it.
            answered = _answered(field.type)
            properties = {
                key: each for key, each in document["properties"].items() if each != "" and key not in answered
            }
            if field.type.endswith(":Secret"):
                properties["value"] = "another value"
            answer = self.cloud.ask("PUT", field.id, {**document, "properties": properties})
        assert answer.is_success, (field.resource, answer.text)
        assert self.cloud.finish(answer).get("status", "Succeeded") == "Succeeded", field.resource

    def _graph(self, method: str, field: Managed, body: Json | None = None) -> Any:  # noqa: ANN401
        headers = {"Authorization": f"Bearer {self.cloud.token(f'{self.cloud.url}/graph')}"}
        return self.cloud.http.request(method, f"/graph/v1.0{field.id}", json=body, headers=headers)


@pytest.fixture(scope="module", params=ROUNDS)
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure
) -> Iterator[Project]:
    """A stack with all that a managed endpoint, or one on Kubernetes, can have, taken up."""
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure, request.param))
    write_image(project.folder / "other", f"{SERVER}# with a line of its own\n")
    for folder, files in {"weights": ["words.txt"], "code": ["score.py", "other.py"]}.items():
        (project.folder / folder).mkdir()
        for name in files:
            (project.folder / folder / name).write_text("")
    with registry_of_its_own(azure.cloud, anonymousPullEnabled=True) as registry:
        image = shelve(registry, project)
        config = CONFIG if request.param == "managed" else on_kubernetes(azure.cloud, image)
        configure(project, **config)
        run = project.up()
        assert run.code == 0, run.text
        yield project
        gone = project.destroy()
        assert gone.code == 0, gone.text


PROBE = {**QUICK, "timeout": "PT2S", "failureThreshold": 30, "successThreshold": 1}
RULE = {"metric": "CpuUtilizationPercentage", "above": 70, "change": 1}
BUSY = {"metric": "RequestLatency", "of": "endpoint", "above": 500, "change": 1}
OFFICE = {"days": ["Monday", "Friday"], "start": "08:00", "end": "18:30", "min": 1, "max": 2, "rules": [BUSY]}
CONFIG: Json = {
    "registry": {"mode": "standalone", "sku": "Premium"},
    "tags": {"owner": "me"},
    "principal": {"passwords": {"first": {"expires": "2035-01-01T00:00:00Z"}}},
    "model": {"path": "weights", "name": "words", "mountPath": "/var/models"},
    "endpoint": {
        "description": "Answers.",
        "traffic": {"blue": 100},
        "mirror": {"green": 10},
        "diagnostics": {"logs": ["console"], "metrics": True},
    },
    "deployments": {
        "blue": {
            "description": "The first.",
            "instanceType": "Standard_DS3_v2",
            "appInsights": True,
            "egressPublicNetworkAccess": True,
            "environmentVariables": {"LOG_LEVEL": "debug"},
            "dataCollector": {
                "collections": {"request": {"samplingRate": 0.5}, "response": {}},
                "captureHeaders": ["x-trace"],
            },
            "livenessProbe": PROBE,
            "readinessProbe": PROBE,
            "requestSettings": {
                "maxConcurrentRequestsPerInstance": 4,
                "maxQueueWait": "PT1S",
                "requestTimeout": "PT30S",
            },
        },
        "green": {
            "image": {"context": "other", "repository": "served"},
            "instanceType": "Standard_DS3_v2",
            "livenessProbe": QUICK,
            "readinessProbe": QUICK,
            "autoscale": {"min": 1, "max": 3, "default": 2, "rules": [RULE], "schedules": {"office": OFFICE}},
        },
    },
}


def on_kubernetes(cloud: Cloud, image: str) -> Json:
    """The stack on Kubernetes: an image of another registry, imported; one more pinned; identity, code and compute."""
    limits = {"cpu": "500m", "memory": "256Mi"}
    return {
        "registry": {"mode": "standalone"},
        "tags": {"owner": "me"},
        "principal": {"kind": "managed-identity"},
        "image": {"promote": image},
        "code": {"path": "code", "entryScript": "score.py"},
        "endpoint": {
            "kind": "kubernetes",
            "compute": "aks",
            "cluster": {"id": kubernetes_cluster(cloud), "namespace": "scoring"},
            "traffic": {"blue": 100},
        },
        "deployments": {
            "blue": {
                "resources": {"requests": {"cpu": "100m"}, "limits": limits},
                "dataCollector": {
                    "collections": {"request": {"data": "azureml://datastores/workspaceblobstore/paths/seen"}}
                },
                "livenessProbe": QUICK,
                "readinessProbe": QUICK,
            },
            "green": {
                "image": f"{image.partition('@')[0]}:one",
                "scale": {"minInstances": 1, "maxInstances": 2},
                "livenessProbe": QUICK,
                "readinessProbe": QUICK,
            },
        },
    }


@pytest.fixture(scope="module")
def fields(project: Project) -> list[Managed]:
    """All that the program has written and Azure may change; whatever else it has written has a reason above."""
    resources = project.state()["deployment"]["resources"]
    theirs = [each for each in resources if each["custom"] and not each["type"].startswith("pulumi:")]
    if project.stack != "managed":
        theirs = [each for each in theirs if _kind(each["type"]) not in PARTS]
    written = [each for resource in theirs for each in managed(resource) if _kind(each.type) not in PINS]
    kept = UNCHANGEABLE | UNSEEN | LEFT_ALONE | OF_OTHERS | (OF_KUBERNETES if project.stack != "managed" else set())
    assert {each.name for each in written if not each.place} <= kept, "a field that Azure's document does not have"
    SEEN[project.stack] = {each.name for each in written} | {str(each.path[0]) for each in written}
    return [each for each in written if not {each.name, str(each.path[0])} & kept and not _is_set_by_azure(each)]


def _kind(type_: str) -> str:
    return type_.rpartition(":")[2]


def _is_set_by_azure(field: Managed) -> bool:
    """Whether the tier of a registry decides on it, or Azure Monitor or the cluster on the count of instances."""
    return (field.resource, field.path[0]) in OF_THE_TIER | {("scoring-green", "instanceCount")}


@pytest.fixture(scope="module")
def intruder(cloud: Cloud, project: Project) -> Iterator[Intruder]:
    for resource in project.state()["deployment"]["resources"]:
        if _kind(resource["type"]) in {"EnvironmentVersion", "ModelVersion", "CodeVersion", "DataVersion"}:
            version = cloud.ask("GET", resource["id"]).json()["properties"]
            cloud.put(
                _other_version(resource["id"]), {"properties": {key: each for key, each in version.items() if each}}
            )
    with workspace(cloud) as theirs:
        yield Intruder(cloud, theirs)


def _of_resources(fields: list[Managed]) -> Iterator[list[Managed]]:
    for _, group in groupby(fields, lambda field: field.resource):
        yield list(group)


def _round(field: Managed) -> int:
    """When a field is changed: first what does not go with others, the rest by turns."""
    return 0 if field.path[0] in ALONE else 1 + sum(map(ord, str(field.path[0]))) % 2


@pytest.mark.parametrize("number", range(max(ROUNDS.values())))
def test_each_field_is_told_with_both_values_and_repaired_by_one_update(
    project: Project, fields: list[Managed], intruder: Intruder, number: int
) -> None:
    rounds = ROUNDS[project.stack]
    if number >= rounds:
        pytest.skip("no field is left for this round")
    changed = [field for field in fields if rounds == 1 or _round(field) == number]
    assert changed
    # What hangs on others first: a registry whose network is closed lets no deployment pull.
    for each in reversed([*_of_resources(changed)]):
        intruder.change(each)
    job = scheduled(project)
    assert job.code != 0, job.text
    told = drift.drifted(changes.load(str(project.folder / "drift.json")))
    expected = {(f.resource, f.name, str(f.other(intruder.theirs)), str(f.value)) for f in changed}
    assert set(_told(told)) ^ expected == set(), told.messages
    assert [name for name in {field.resource for field in changed} if f"`{name}`" not in job.text] == []
    repaired = project.up("--refresh", "--json")
    assert repaired.code == 0, repaired.text
    assert sorted(_steps(repaired.text)) == [("update", name) for name in sorted({f.resource for f in changed})]
    assert [f.name for f in fields if _at(intruder.read(f), f.place) != f.value] == []


def _told(preview: changes.Preview) -> Iterator[tuple[str, str, str, str]]:
    """What the job tells: resource and field, what Azure has, what is declared."""
    for change in preview.changes:
        assert change.op == "update", change
        for each in change.properties:
            top = ".".join([change.kind, *re.findall(r"[^.\[\]\"]+", each.path)])
            old, new = dict(_leaves(each.old, ())), dict(_leaves(each.new, ()))
            for path in old.keys() | new.keys():
                name = ".".join([top, *map(str, path)])
                if old.get(path) != new.get(path) and name not in LEFT_ALONE:
                    yield change.name, name, str(old.get(path)), str(new.get(path))


def _steps(text: str) -> Iterator[tuple[str, str]]:
    """What an update did, by the engine's events."""
    for line in text.splitlines():
        step = json.loads(line).get("resourcePreEvent", {}).get("metadata") if line.startswith("{") else None
        if step and step["op"] not in changes.QUIET:
            yield step["op"], step["urn"].rpartition("::")[2]


def test_what_azure_sets_and_what_the_program_does_not_write_is_no_drift(
    project: Project, fields: list[Managed], cloud: Cloud
) -> None:
    if project.stack != "managed":
        pytest.skip("the cluster sets the count")
    ids = {field.resource: field.id for field in fields}
    green, endpoint = cloud.ask("GET", ids["scoring-green"]).json(), cloud.ask("GET", ids["scoring-endpoint"]).json()
    green["sku"]["capacity"] = 2
    green["properties"] |= {"description": "seen in the studio", "environmentVariables": {"MORE": "yes"}}
    for document in (green, endpoint):
        document["tags"]["team"] = "set by a policy"
        cloud.finish(cloud.ask("PUT", document["id"], document))
    assert cloud.ask("GET", ids["scoring-green"]).json()["sku"]["capacity"] == 2
    job = scheduled(project)
    assert job.code == 0, job.text


def test_every_field_that_is_left_out_is_one_that_a_stack_writes() -> None:
    """One of another name would be left out without anybody seeing it."""
    if SEEN.keys() != ROUNDS.keys():
        pytest.skip("the other tests have not run")
    assert set().union(*SEEN.values()) >= UNCHANGEABLE | UNSEEN | LEFT_ALONE | OF_OTHERS | OF_KUBERNETES
