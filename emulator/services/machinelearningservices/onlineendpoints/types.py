"""Online endpoints and their deployments.

Owns Microsoft.MachineLearningServices/workspaces/onlineEndpoints and .../deployments: what Azure demands of them, and
the routes by which the gateway (`protocols.gateway`) lets requests in.
https://learn.microsoft.com/rest/api/azureml/online-endpoints
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints
"""

import logging
import re
import secrets
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import jwt

from emulator.backends.containers import MOST_REPLICAS, CrashError, PullError, ServingSpec
from emulator.backends.fleet import Fleet
from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import ASSIGNMENTS
from emulator.core.rules import one_of
from emulator.core.store import Document
from emulator.services.authorization import types as authorization
from emulator.services.containerregistry import access as registry_access
from emulator.services.machinelearningservices.assets import data as asset_data
from emulator.services.machinelearningservices.assets import jobs as images
from emulator.services.machinelearningservices.assets.rules import DATA_VERSIONS, MODEL_VERSIONS, ROUTES, VERSIONS
from emulator.services.machinelearningservices.computes.types import COMPUTES, compute_of
from emulator.services.machinelearningservices.managednetworks.types import approve, demand_provisioned, isolation_of
from emulator.services.machinelearningservices.onlineendpoints import rules as endpoint_rules
from emulator.services.machinelearningservices.onlineendpoints.access import (
    PULL_ROLE,
    Route,
    pull_failure,
    pull_of,
    user_assigned,
)
from emulator.services.machinelearningservices.onlineendpoints.rules import (
    ACCESS,
    DEPLOYMENTS,
    ENDPOINT_KINDS,
    ENDPOINT_PROVIDERS,
    ENDPOINTS,
    WHOLE,
    bad_argument,
    defaults,
    parent_of,
    probe,
    request_settings,
    scaling,
    traffic_shares,
)
from emulator.services.machinelearningservices.quotas.types import check_quota
from emulator.services.managedidentity import access as identity

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_SCORING_PORT = 8890
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]")
_NAME_RULE = "3 to 32 letters, digits and '-', with a letter at the beginning and no '-' at the end"
_AUTH_MODES = ("Key", "AMLToken", "AADToken")
_MOST_MIRROR = 50
_TOKEN_LIFETIME = 12 * 3600
_KEY_NAMES = {"primary": "primaryKey", "secondary": "secondaryKey"}
_DEFAULT_ROUTES = {
    "livenessRoute": {"path": "/", "port": 5001},
    "readinessRoute": {"path": "/", "port": 5001},
    "scoringRoute": {"path": "/score", "port": 5001},
}
_LOG_TAIL = 5000
_CONTAINERS = ("InferenceServer", "StorageInitializer", "ModelDataCollector")
_RESUME_PAUSE = 10.0
_log = logging.getLogger(__name__)


class OnlineEndpoint(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/onlineEndpoints."""

    type = ENDPOINTS
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self.routes: dict[str, Route] = {}
        #: Set by the gateway: open and close an endpoint's port.
        self.opened: Callable[[ResourceId], None] = lambda _: None
        self.closed: Callable[[ResourceId], None] = lambda _: None
        self._lock = threading.Lock()

    def check(self, new: Document, old: Document | None) -> Document:
        """The name, the ways in, the identity and the traffic."""
        name, properties = new.id.name, dict(new.properties)
        if not _NAME.fullmatch(name):
            raise bad_argument(f"Endpoint name '{name}' is invalid: {_NAME_RULE}")
        self._demand_unique(new)
        for field_, choices in (("authMode", _AUTH_MODES), ("publicNetworkAccess", ACCESS)):
            properties.setdefault(field_, "Enabled" if field_ == "publicNetworkAccess" else None)
            match = next((each for each in choices if each.lower() == str(properties[field_]).lower()), None)
            if match is None:
                raise bad_argument(
                    f"{field_} '{properties[field_]}' of endpoint '{name}' is none of {', '.join(choices)}"
                )
            properties[field_] = match
        kind = self._kind(new, old, properties)
        properties["traffic"] = traffic_shares(properties.get("traffic"), "traffic")
        properties["mirrorTraffic"] = traffic_shares(properties.get("mirrorTraffic"), "mirrorTraffic")
        self._check_traffic(new.id, properties["traffic"], properties["mirrorTraffic"])
        if kind == "Kubernetes" and properties["publicNetworkAccess"] == "Disabled":
            # Azure documents it for managed ones only, and azure-ai-ml's KubernetesOnlineEndpoint has no such field.
            # https://learn.microsoft.com/azure/machine-learning/concept-secure-online-endpoint
            raise bad_argument(f"publicNetworkAccess of endpoint '{name}' cannot be Disabled: it is on Kubernetes")
        if kind == "Kubernetes" and any(properties["mirrorTraffic"].values()):
            raise bad_argument(f"mirrorTraffic of endpoint '{name}' is not supported for Kubernetes online endpoints")
        properties["properties"] = properties.get("properties") or {}  # azure-ai-ml reads a map
        properties.pop("keys", None)  # read-only: Azure creates them
        previous = old.properties if old else {}
        properties.update({key: previous[key] for key in ("scoringUri", "swaggerUri") if key in previous})
        body = {**new.body, "kind": kind, "properties": properties}
        if not (body.get("identity") or {}).get("type"):
            body["identity"] = old.body["identity"] if old else {"type": "SystemAssigned"}
        private = new.private or {
            "primaryKey": secrets.token_urlsafe(24),
            "secondaryKey": secrets.token_urlsafe(24),
            "tokenKey": secrets.token_urlsafe(32),
        }
        return Document(new.id, identity.assign(self.azure, body, old), private)

    def provision(self, new: Document, old: Document | None) -> Document:
        """Give it a port, and let requests in by its new rules."""
        self.azure.delay("endpoint-delay")
        if old is None:
            self._check_providers(new)
            self._grant(new)
        endpoint = self._with_uris(new)
        self.opened(endpoint.id)
        self._publish(endpoint)
        return endpoint

    def _check_providers(self, new: Document) -> None:
        """Fail as Azure ML does where the subscription lacks a provider that managed endpoints need.

        https://learn.microsoft.com/answers/questions/1983847/error-while-creating-a-managed-online-endpoint-in
        """
        if new.body["kind"] == "Managed" and any(
            self.azure.is_unregistered(new.id.subscription, each) for each in ENDPOINT_PROVIDERS
        ):
            raise AzureError(
                400,
                "SubscriptionNotRegistered",
                "Resource provider [N/A] isn't registered with Subscription [N/A]. Please see troubleshooting guide,"
                " available here: https://aka.ms/register-resource-provider",
            )

    def remove(self, document: Document) -> None:
        """Close its port; its deployments are already gone."""
        with self._lock:
            self.routes.pop(document.id.key, None)
        self.closed(document.id)
        self.azure.ports.forget(port_name(document.id))
        principal = (document.body.get("identity") or {}).get("principalId")
        for each in self.azure.store.of_type(ASSIGNMENTS):
            if principal and each.properties["principalId"] == principal and each.private.get("by") == document.id.key:
                self.azure.store.delete(each.id)
        identity.release(self.azure, document)

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`listKeys`, `regenerateKeys` and `token`."""
        mode = document.properties["authMode"]
        action = name.lower()
        if action in {"listkeys", "regeneratekeys"} and mode != "Key":
            raise bad_argument(f"Endpoint '{document.id.name}' has no keys: its authMode is {mode}")
        if action == "listkeys":
            return Response(200, {key: document.private[key] for key in _KEY_NAMES.values()})
        if action == "regeneratekeys":
            return self._regenerate(document, request.body)
        if action == "token":
            if mode != "AMLToken":
                raise bad_argument(f"Endpoint '{document.id.name}' issues no tokens: its authMode is {mode}")
            return Response(200, self._token(document))
        return super().action(document, name, request)

    def resume(self, document: Document) -> None:
        """Let requests in again. The port is opened by the gateway's start."""
        self._publish(self.azure.store.put(self._with_uris(document)))

    def forget_deployment(self, deployment: Document) -> None:
        """Take a deleted deployment's name out of the traffic, where it has a share of 0."""
        parent = deployment.id.parent
        endpoint = self.azure.store.get(parent) if parent else None
        if endpoint is None:
            return
        gone = deployment.id.name.lower()
        shares = {
            name: {key: share for key, share in (endpoint.properties.get(name) or {}).items() if key.lower() != gone}
            for name in ("traffic", "mirrorTraffic")
        }
        self._publish(self.azure.store.put(endpoint.having(**shares)))

    def _kind(self, new: Document, old: Document | None, properties: dict[str, Any]) -> str:
        """Managed or Kubernetes, and the compute that only the latter has; neither ever changes.

        azure-ai-ml sends no kind: the compute says it.
        """
        name, kind = new.id.name, new.body.get("kind") or ("Kubernetes" if properties.get("compute") else "Managed")
        if kind not in ENDPOINT_KINDS:
            raise bad_argument(f"kind '{kind}' of endpoint '{name}' is none of {', '.join(ENDPOINT_KINDS)}")
        if old is not None and old.body["kind"] != kind:
            raise bad_argument(f"The kind of endpoint '{name}' cannot be changed from '{old.body['kind']}'")
        if kind == "Managed":
            if properties.get("compute"):
                raise bad_argument(f"Endpoint '{name}' is managed, so it has no compute '{properties['compute']}'")
            if self.azure.find(parent_of(new.id).path).properties.get("v1LegacyMode"):
                raise bad_argument(f"Endpoint '{name}' cannot be created: the workspace is in v1 legacy mode")
            return str(kind)
        properties["compute"] = self._compute(new, old, properties.get("compute"))
        if properties["authMode"] == "AADToken":
            raise bad_argument(f"authMode 'AADToken' of endpoint '{name}' is for managed online endpoints only")
        return str(kind)

    def _compute(self, new: Document, old: Document | None, compute: object) -> str:
        name = new.id.name
        document = self.azure.linked(compute, COMPUTES)
        if document is None or parent_of(document.id).key != parent_of(new.id).key:
            raise bad_argument(f"compute '{compute}' of endpoint '{name}' is none that is attached to the workspace")
        if document.properties.get("provisioningState") != "Succeeded":
            raise bad_argument(
                f"compute '{compute}' of endpoint '{name}' is not usable: its provisioning has not succeeded"
            )
        if old is not None and old.properties["compute"].lower() != document.id.key:
            raise bad_argument(f"The compute of endpoint '{name}' cannot be changed from '{old.properties['compute']}'")
        return document.id.path

    def _publish(self, document: Document) -> None:
        properties = document.properties
        route = Route(
            document.id,
            properties["authMode"],
            document.body["kind"] == "Managed",
            properties["publicNetworkAccess"] == "Enabled",
            tuple(document.private[key] for key in _KEY_NAMES.values()),
            document.private["tokenKey"],
            dict(properties.get("traffic") or {}),
            dict(properties.get("mirrorTraffic") or {}),
        )
        with self._lock:
            self.routes[document.id.key] = route

    def _with_uris(self, document: Document) -> Document:
        first = self.azure.store.fact("scoring-port")
        port = self.azure.ports.choose(port_name(document.id), DEFAULT_SCORING_PORT if first is None else int(first))
        base = f"http://localhost:{port}"
        return document.having(scoringUri=f"{base}/score", swaggerUri=f"{base}/swagger.json")

    def _demand_unique(self, new: Document) -> None:
        for other in self.azure.store.of_type(ENDPOINTS):
            same = other.id.name.lower() == new.id.name.lower() and other.body["location"] == new.body["location"]
            if same and other.id.key != new.id.key:
                raise AzureError(
                    400,
                    "BadRequest",
                    f"There is already an endpoint with this name ('{new.id.name}'), endpoint name needs to be unique"
                    f" within a region ('{new.body['location']}')",
                )

    def _check_traffic(self, id_: ResourceId, traffic: dict[str, int], mirror: dict[str, int]) -> None:
        total = sum(traffic.values())
        if total not in {0, WHOLE}:
            raise bad_argument(f"The traffic of endpoint '{id_.name}' adds up to {total} %: it must be 0 or 100")
        live = [name for name, share in mirror.items() if share]
        if len(live) > 1:
            raise bad_argument(
                f"mirrorTraffic of endpoint '{id_.name}' names {len(live)} deployments: only one can be mirrored to"
            )
        for name in live:
            if mirror[name] > _MOST_MIRROR:
                raise bad_argument(
                    f"mirrorTraffic of '{name}' is {mirror[name]} %: at most {_MOST_MIRROR} can be mirrored"
                )
            if traffic.get(name):
                raise bad_argument(f"Deployment '{name}' cannot get mirrored traffic while it gets live traffic")
        for name in {**traffic, **mirror}:
            deployment = self.azure.store.get(id_.child("deployments", name))
            if deployment is None:
                raise bad_argument(
                    f"Deployment '{name}' does not exist in endpoint '{id_.name}': traffic cannot be sent to it"
                )
            if "serving" not in deployment.private and (traffic.get(name) or mirror.get(name)):
                raise bad_argument(
                    f"Deployment '{name}' of endpoint '{id_.name}' is in provisioning state"
                    f" '{deployment.properties.get('provisioningState')}': only one that has succeeded can get traffic"
                )

    def _grant(self, endpoint: Document) -> None:
        """Azure gives an endpoint's own identity the pull role on the workspace's own registry."""
        body = endpoint.body.get("identity") or {}
        workspace = self.azure.find(parent_of(endpoint.id).path)
        registry = self.azure.linked(workspace.properties.get("containerRegistry"), registry_access.REGISTRIES)
        if registry is None or not body.get("principalId"):
            return
        if registry.properties.get("roleAssignmentMode") == registry_access.ABAC:
            return
        granted = self.azure.find(authorization.grant(self.azure, body["principalId"], PULL_ROLE, registry.id).path)
        self.azure.store.put(granted.having({"by": endpoint.id.key}))

    def _regenerate(self, document: Document, body: dict[str, Any]) -> Response:
        kind = str(body.get("keyType", "")).lower()
        if kind not in _KEY_NAMES:
            raise bad_argument(f"keyType '{body.get('keyType')}' is neither 'Primary' nor 'Secondary'")
        value = body.get("keyValue") or secrets.token_urlsafe(24)
        self._publish(self.azure.store.put(document.having({_KEY_NAMES[kind]: value})))
        return Response(200)

    def _token(self, document: Document) -> dict[str, Any]:
        now = int(time.time())
        claims = {"aud": document.id.key, "iat": now, "exp": now + _TOKEN_LIFETIME}
        return {
            "accessToken": jwt.encode(claims, document.private["tokenKey"], "HS256"),
            "expiryTimeUtc": now + _TOKEN_LIFETIME,
            "refreshAfterTimeUtc": now + _TOKEN_LIFETIME // 2,
            "tokenType": "Bearer",
        }


class OnlineDeployment(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments: real containers."""

    type = DEPLOYMENTS
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self.fleet = Fleet(azure.folder, lambda version: asset_data.files(azure, version), partial(approve, azure))

    def check(self, new: Document, old: Document | None) -> Document:
        """All that can be said before the image is pulled."""
        name, properties = new.id.name, {key: value for key, value in new.properties.items() if value is not None}
        if not _NAME.fullmatch(name):
            raise bad_argument(f"Deployment name '{name}' is invalid: {_NAME_RULE}")
        if old is not None and "serving" not in old.private:
            raise AzureError(
                400,
                "BadRequest",
                f"Specified deployment [{name}] failed during initial provisioning and is in an unrecoverable state."
                " Delete and re-create.",
            )
        endpoint = self.azure.find(parent_of(new.id).path)
        state = endpoint.properties.get("provisioningState")
        if state != "Succeeded":
            raise AzureError(
                409,
                "Conflict",
                f"Cannot create a deployment in endpoint {endpoint.id.name} because it is in {state} provisioning"
                " state; another operation must finish first",
            )
        if endpoint.body["location"] != new.body["location"]:
            raise bad_argument(
                f"Deployment '{name}' is in location '{new.body['location']}', its endpoint in"
                f" '{endpoint.body['location']}': give both the same"
            )
        properties = defaults(properties, old, name)
        environment = self._environment(properties, new)
        request_settings(properties)
        kind = properties["endpointComputeType"]
        if kind != endpoint.body["kind"]:
            raise bad_argument(f"Deployment '{name}' is of kind {kind}, its endpoint of kind {endpoint.body['kind']}")
        if kind == "Managed":
            demand_provisioned(self.azure, new.id)
        endpoint_rules.check_network(properties, kind, name, self.azure.find(parent_of(endpoint.id).path))
        properties |= self._collector(properties, name)
        sku = {"name": "Default", "tier": "Standard", **(new.body.get("sku") or {})}
        sku["capacity"] = endpoint_rules.count(sku, properties, kind, name)
        self._share(properties, endpoint, name)
        if environment is not None:
            properties["environmentId"] = environment.id.path
        content = environment.properties if environment is not None else {}
        served = content.get("condaFile") and not content.get("inferenceConfig")
        if served and not properties.get("codeConfiguration"):
            raise bad_argument(
                f"Deployment '{name}' lacks 'codeConfiguration': Azure ML's own server runs an entry script"
            )
        # Azure shows what it sets for model and code among the variables.
        properties["environmentVariables"] = properties["environmentVariables"] | asset_data.check_mounts(
            self.azure, properties, name
        )
        checked = Document(new.id, {**new.body, "kind": kind, "properties": properties, "sku": sku}, new.private)
        if kind == "Managed":
            check_quota(self.azure, checked, old)
        return checked

    def provision(self, new: Document, old: Document | None) -> Document:
        """Pull the image as the deployment's identity would, start containers, and wait until they are ready."""
        del old
        self._pause(new.id.name)
        spec = self._spec(new)
        spec = spec.model_copy(update={"image_id": self._pull(new.id, spec.image)})
        if identities := user_assigned(self.azure, self.azure.find(parent_of(new.id).path)):
            asset_data.demand_reader(self.azure, new.id, identities)
        if spec.instances > MOST_REPLICAS:
            _log.info("%s: %d instances, %d containers here", new.id.path, spec.instances, MOST_REPLICAS)
        self._deploy(new.id, spec)
        return new.having({"serving": spec.model_dump()})

    def check_delete(self, document: Document) -> None:
        """Refuse to delete what gets traffic."""
        endpoint = self.azure.find(parent_of(document.id).path)
        for name in ("traffic", "mirrorTraffic"):
            shares = {key.lower(): share for key, share in (endpoint.properties.get(name) or {}).items()}
            if share := shares.get(document.id.name.lower()):
                raise AzureError(
                    400,
                    "BadRequest",
                    f"Cannot delete deployment '{document.id.name}' of endpoint '{endpoint.id.name}': {share} % of its"
                    f" {name} goes there. Set it to 0 first.",
                )

    def remove(self, document: Document) -> None:
        """Requests inside end, then the containers go, and the name goes out of the endpoint's traffic."""
        self.azure.serving(OnlineEndpoint).forget_deployment(document)
        self.fleet.drop(document.id.key)

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`getLogs`, of one of the kinds of containers.

        https://learn.microsoft.com/rest/api/azureml/online-deployments/get-logs
        """
        if name.lower() != "getlogs":
            return super().action(document, name, request)
        tail = int(request.body.get("tail") or _LOG_TAIL)
        kind = one_of("containerType", request.body.get("containerType"), _CONTAINERS)
        texts = {"InferenceServer": self._log, "StorageInitializer": _mounted}
        return Response(200, {"content": texts[kind](document, tail) if kind in texts else ""})

    def log(self, document: Document) -> str | None:
        """What its containers have written."""
        return self._log(document)

    def resume(self, document: Document) -> None:
        """Adopt containers that still run, or start new ones; in a thread, since that may take long."""
        if "serving" in document.private:
            spec = ServingSpec.model_validate(document.private["serving"])
            threading.Thread(target=self._resume, args=(document, spec), daemon=True).start()

    def suspend(self) -> None:
        """Containers go; their documents stay, and `resume` brings them back."""
        self.fleet.suspend()

    def sweep(self) -> None:
        """Remove containers that a killed local Azure has left, and that no document wants."""
        serving = {
            document.id.key for document in self.azure.store.of_type(DEPLOYMENTS) if "serving" in document.private
        }
        self.fleet.containers.sweep(lambda _, deployment: deployment in serving)

    def _resume(self, document: Document, spec: ServingSpec) -> None:
        """Try again and again: the Docker engine may be away at first."""
        while not self.fleet.stopping.is_set():
            try:
                if not self.fleet.containers.has(spec.image_id):
                    spec = spec.model_copy(update={"image_id": self._pull(document.id, spec.image)})
                self._deploy(document.id, spec, resuming=True)
            except AzureError as error:
                _log.warning("%s does not come back: %s", document.id.path, error)
                self.fleet.stopping.wait(_RESUME_PAUSE)
            else:
                return
            latest = None if self.fleet.stopping.is_set() else self.azure.store.get(document.id)
            if latest is None or latest.private.get("serving") != document.private["serving"]:
                return

    def _deploy(self, id_: ResourceId, spec: ServingSpec, *, resuming: bool = False) -> None:
        failing = self.azure.faults.get("probe-fails")
        fail_probes = failing is True or failing == id_.name
        try:
            self.fleet.deploy(id_.key, spec, fail_probes=fail_probes, resuming=resuming)
        except CrashError as error:
            raise AzureError(
                400, "ResourceNotReady", f"Deployment '{id_.name}' of endpoint '{parent_of(id_).name}': {error}"
            ) from error

    def _pause(self, name: str) -> None:
        # An interruptible sleep: a stopping local Azure does not wait for it.
        self.fleet.stopping.wait(float(self.azure.faults.get("deployment-delay") or 0))
        failing = self.azure.faults.get("deployment-fails")
        if failing is True or failing == name:
            raise AzureError(
                400, "ResourceNotReady", f"Deployment '{name}': User container has crashed or terminated (by a fault)"
            )

    def _environment(self, properties: dict[str, Any], new: Document) -> Document | None:
        """The environment version that it names; None where Azure serves the model by itself."""
        if path := str(properties.get("environmentId") or ""):
            return asset_data.version_of(self.azure, path, "Environment", VERSIONS, new.id.name)
        model, kind = str(properties.get("model") or ""), ""
        if model and not properties.get("codeConfiguration"):
            kind = asset_data.version_of(self.azure, model, "model", MODEL_VERSIONS, new.id.name).properties[
                "modelType"
            ]
        if kind == "triton_model":
            raise bad_argument(
                f"Deployment '{new.id.name}': Azure serves a Triton model with NVIDIA's Triton server, which the local"
                " Azure does not have: name an environment with a server of your own"
            )
        if kind != "mlflow_model":
            raise bad_argument(f"Deployment '{new.id.name}' lacks 'environmentId'")
        return None

    def _collector(self, properties: dict[str, Any], name: str) -> dict[str, Any]:
        """The property `dataCollector`, whose data assets are there; nothing without one."""
        if not properties.get("dataCollector"):
            return {}
        collector = endpoint_rules.collector(properties["dataCollector"], name)
        for each in collector["collections"].values():
            if each.get("dataId"):
                asset_data.version_of(self.azure, str(each["dataId"]), "dataId", DATA_VERSIONS, name)
        return {"dataCollector": collector}

    def _image(self, properties: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
        """The image that runs, and its routes."""
        if path := properties.get("environmentId"):
            environment = self.azure.find(path)
            return images.image_of(self.azure, environment), environment.properties.get("inferenceConfig") or {}
        model = asset_data.version_of(self.azure, str(properties["model"]), "model", MODEL_VERSIONS, name)
        return images.mlflow_image(self.azure, model, asset_data.files(self.azure, model.id.path)), {}

    def _log(self, document: Document, tail: int = _LOG_TAIL) -> str:
        text = self.fleet.log(document.id.key, tail)
        spec = document.private.get("serving") or {}
        if spec.get("gpus") and not self.fleet.containers.has_gpus:
            machine = document.properties.get("instanceType") or "it"
            text = f"local Azure: {machine} has GPUs, this machine's Docker has none: it runs on the processor\n{text}"
        return text

    def _share(self, properties: dict[str, Any], endpoint: Document, name: str) -> endpoint_rules.Share:
        """What one container may have."""
        if properties["endpointComputeType"] == "Kubernetes":
            return endpoint_rules.share(properties, compute_of(self.azure, endpoint), name)
        if properties.get("containerResourceRequirements"):
            raise bad_argument(
                f"containerResourceRequirements of deployment '{name}' are for Kubernetes online endpoints only"
            )
        # A machine's GPUs are all the container's; how many of this machine's stand for them is the engine's choice.
        return endpoint_rules.Share(gpus=int(endpoint_rules.has_gpu(str(properties["instanceType"]))))

    def _spec(self, deployment: Document) -> ServingSpec:
        properties = deployment.properties
        image, routes = self._image(properties, deployment.id.name)
        liveness, readiness, scoring = (dict((routes or _DEFAULT_ROUTES)[name]) for name in ROUTES)
        settings = request_settings(properties)
        share = self._share(properties, self.azure.find(parent_of(deployment.id).path), deployment.id.name)
        return ServingSpec(
            image=image,
            environment=properties.get("environmentVariables") or {},
            mounts=asset_data.mounts(self.azure, properties, deployment.id.name)[0],
            port=int(scoring["port"]),
            scoring=scoring["path"],
            collector=properties.get("dataCollector") or {},
            liveness=probe(properties["livenessProbe"], liveness, "livenessProbe"),
            readiness=probe(properties["readinessProbe"], readiness, "readinessProbe"),
            concurrency=settings[0],
            timeout=settings[1],
            instances=int(deployment.body["sku"]["capacity"]),
            cpu=share.cpu,
            memory=share.memory,
            gpus=share.gpus,
            isolation=isolation_of(self.azure, deployment) if properties["endpointComputeType"] == "Managed" else "",
            scale=scaling(properties["scaleSettings"]),
        )

    def _pull(self, id_: ResourceId, image: str) -> str:
        pull = pull_of(self.azure, id_, image)
        try:
            return self.fleet.containers.pull(image, pull.login)
        except PullError as error:
            raise pull_failure(self.azure, id_, image, pull, error) from error


def _mounted(document: Document, tail: int) -> str:
    """What the storage initializer has done: here files are put into the container before it starts."""
    mounts = (document.private.get("serving") or {}).get("mounts") or []
    return "".join(f"local Azure: {each['source']} is at {each['target']}\n" for each in mounts[-tail:])


def serving(azure: Azure) -> list[dict[str, Any]]:
    """Each deployment, with what it gets and how it fares."""
    fleet = azure.serving(OnlineDeployment).fleet
    rows = []
    for endpoint in azure.store.of_type(ENDPOINTS):
        for deployment in azure.store.of_type(DEPLOYMENTS, endpoint.id):
            pool, metrics = fleet.pools.get(deployment.id.key), fleet.metrics.get(deployment.id.key)
            shares = (_share_of(endpoint, field_, deployment.id.name) for field_ in ("traffic", "mirrorTraffic"))
            rows.append(
                {
                    "endpoint": endpoint.id.name,
                    "deployment": deployment.id.name,
                    "kind": endpoint.body["kind"],
                    "state": deployment.properties.get("provisioningState"),
                    **dict(zip(("traffic", "mirror"), shares, strict=True)),
                    "instances": pool.spec.instances if pool else deployment.body["sku"]["capacity"],
                    "ready": sum(replica.ready for replica in pool.replicas) if pool else 0,
                    "requests": metrics.requests if metrics else 0,
                    "failures": metrics.failures if metrics else 0,
                    "scoringUri": endpoint.properties.get("scoringUri"),
                }
            )
    return rows


def _share_of(endpoint: Document, field_: str, name: str) -> int:
    traffic = endpoint.properties.get(field_) or {}
    return next((share for key, share in traffic.items() if key.lower() == name.lower()), 0)


def port_name(endpoint: ResourceId) -> str:
    """The name under which `azure.ports` keeps an endpoint's port."""
    return f"endpoint {endpoint.key}"
