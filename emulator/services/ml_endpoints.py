"""Online endpoints and their deployments.

Owns Microsoft.MachineLearningServices/workspaces/onlineEndpoints and .../deployments: what Azure demands of them, who
pulls the image, and the routes by which the gateway (emulator/faces/gateway.py) lets requests in. Containers are
`containers`'.
https://learn.microsoft.com/rest/api/azureml/online-endpoints
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints
"""

import logging
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jwt

from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import ASSIGNMENTS, Principal
from emulator.core.store import Document
from emulator.services import authorization, entra, identity, ml_assets, ml_images, ml_kinds, registry_tokens
from emulator.services.containers import MOST_REPLICAS, CrashError, Fleet, Login, Plan, Probe, PullError, Scale
from emulator.services.ml_computes import COMPUTES, compute_of
from emulator.services.ml_environment import ROUTES, VERSIONS
from emulator.services.ml_workspace import CONNECTIONS, WORKSPACES

if TYPE_CHECKING:
    from collections.abc import Callable

ENDPOINTS = f"{WORKSPACES}/onlineEndpoints"
DEPLOYMENTS = f"{ENDPOINTS}/deployments"
SCORE = f"{ENDPOINTS}/score/action"
PULL_ROLE = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
DEFAULT_SCORING_PORT = 8890
_SIZES: dict[str, tuple[int, ...]] = {
    "Standard_DS{}_v2": (1, 2, 3, 4, 5),
    "Standard_D{}a_v4": (2, 4, 8),
    "Standard_D{}as_v4": (2, 4, 8),
    "Standard_E{}s_v3": (2, 4, 8, 16, 32, 64),
    "Standard_F{}s_v2": (2, 4, 8, 16, 32, 48, 64, 72),
    "Standard_FX{}mds": (4, 12, 24, 36, 48),
    "Standard_L{}s_v2": (8, 16, 32),
    "Standard_L{}s_v3": (8, 16, 32),
    "Standard_L{}as_v3": (8, 16, 32),
    "Standard_NC{}s_v2": (6, 12, 24),
    "Standard_NC{}s_v3": (6, 12, 24),
    "Standard_NC{}as_T4_v3": (4, 8, 16, 64),
    "Standard_NC{}ads_A100_v4": (24, 48, 96),
    "Standard_NC{}ads_H100_v5": (40,),
    "Standard_NC{}adis_H100_v5": (80,),
    "Standard_ND{}rs_v2": (40,),
    "Standard_ND{}asr_v4": (96,),
    "Standard_ND{}amsr_A100_v4": (96,),
}
# https://learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list
INSTANCE_TYPES = frozenset(pattern.format(size) for pattern, sizes in _SIZES.items() for size in sizes)
_KNOWN_TYPES = {name.lower() for name in INSTANCE_TYPES}
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]")
_NAME_RULE = "3 to 32 letters, digits and '-', with a letter at the beginning and no '-' at the end"
_AUTH_MODES = ("Key", "AMLToken", "AADToken")
_ACCESS = ("Enabled", "Disabled")
_COMPUTES = ("Managed", "Kubernetes")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_WHOLE = 100
_MOST_MIRROR = 50
_TOKEN_LIFETIME = 12 * 3600
_KEY_NAMES = {"primary": "primaryKey", "secondary": "secondaryKey"}
_DEFAULT_ROUTES = {
    "livenessRoute": {"path": "/", "port": 5001},
    "readinessRoute": {"path": "/", "port": 5001},
    "scoringRoute": {"path": "/score", "port": 5001},
}
_REQUEST_DEFAULTS = {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT5S", "maxQueueWait": "PT0.5S"}
_PROBE_DEFAULTS = {
    "initialDelay": "PT10S",
    "period": "PT10S",
    "timeout": "PT2S",
    "successThreshold": 1,
    "failureThreshold": 30,
}
_LOG_TAIL = 5000
_CREDENTIALS = "check the credentials, and that the registry lets them in"
_RESUME_PAUSE = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """What the gateway must know of an endpoint."""

    id: ResourceId
    auth_mode: str = "Key"
    public: bool = True
    keys: tuple[str, ...] = field(default=(), repr=False)
    token_key: str = field(default="", repr=False)
    traffic: dict[str, int] = field(default_factory=dict)
    mirror: dict[str, int] = field(default_factory=dict)

    def deployment(self, name: str) -> str:
        """The key of one of the endpoint's deployments."""
        return f"{self.id.key}/deployments/{name.lower()}"


def seconds(text: object, what: str) -> float:
    """An ISO 8601 duration in seconds (400 for anything else)."""
    found = _DURATION.fullmatch(str(text))
    if found is None or not any(found.groups()):
        raise _bad(f"{what} '{text}' is not an ISO 8601 duration like 'PT5S'")
    days, hours, minutes, rest = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest


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
        name, given = new.id.name, dict(new.properties)
        if not _NAME.fullmatch(name):
            raise _bad(f"Endpoint name '{name}' is invalid: {_NAME_RULE}")
        self._demand_unique(new)
        if old is not None and old.body["location"] != new.body["location"]:
            raise _bad(f"The location of endpoint '{name}' cannot be changed from '{old.body['location']}'")
        for field_, choices in (("authMode", _AUTH_MODES), ("publicNetworkAccess", _ACCESS)):
            given.setdefault(field_, "Enabled" if field_ == "publicNetworkAccess" else None)
            found = next((each for each in choices if each.lower() == str(given[field_]).lower()), None)
            if found is None:
                raise _bad(f"{field_} '{given[field_]}' of endpoint '{name}' is none of {', '.join(choices)}")
            given[field_] = found
        kind = self._kind(new, old, given)
        given["traffic"] = _shares(given.get("traffic"), "traffic")
        given["mirrorTraffic"] = _shares(given.get("mirrorTraffic"), "mirrorTraffic")
        self._check_traffic(new.id, given["traffic"], given["mirrorTraffic"])
        if kind == "Kubernetes" and any(given["mirrorTraffic"].values()):
            raise _bad(f"mirrorTraffic of endpoint '{name}' is not supported for Kubernetes online endpoints")
        given.pop("keys", None)  # written by nobody: Azure makes them
        known = old.properties if old else {}
        given.update({key: known[key] for key in ("scoringUri", "swaggerUri") if key in known})
        body = {**new.body, "kind": kind, "properties": given}
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
        self.azure.hold("endpoint-delay")
        if old is None:
            self._grant(new)
        made = self._with_uris(new)
        self.opened(made.id)
        self._publish(made)
        return made

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
        wanted = name.lower()
        if wanted in {"listkeys", "regeneratekeys"} and mode != "Key":
            raise _bad(f"Endpoint '{document.id.name}' has no keys: its authMode is {mode}")
        if wanted == "listkeys":
            return Response(200, {key: document.private[key] for key in _KEY_NAMES.values()})
        if wanted == "regeneratekeys":
            return self._regenerate(document, request.body)
        if wanted == "token":
            if mode != "AMLToken":
                raise _bad(f"Endpoint '{document.id.name}' issues no tokens: its authMode is {mode}")
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

    def _kind(self, new: Document, old: Document | None, given: dict[str, Any]) -> str:
        """Managed or Kubernetes, and the compute that only the latter has; neither ever changes."""
        name, kind = new.id.name, new.body.get("kind") or "Managed"
        if kind not in _COMPUTES:
            raise _bad(f"kind '{kind}' of endpoint '{name}' is none of {', '.join(_COMPUTES)}")
        if old is not None and old.body["kind"] != kind:
            raise _bad(f"The kind of endpoint '{name}' cannot be changed from '{old.body['kind']}'")
        if kind == "Managed":
            if given.get("compute"):
                raise _bad(f"Endpoint '{name}' is managed, so it has no compute '{given['compute']}'")
            if self.azure.find(_above(new.id).path).properties.get("v1LegacyMode"):
                raise _bad(f"Endpoint '{name}' cannot be created: the workspace is in v1 legacy mode")
            return str(kind)
        given["compute"] = self._compute(new, old, given.get("compute"))
        if given["authMode"] == "AADToken":
            raise _bad(f"authMode 'AADToken' of endpoint '{name}' is for managed online endpoints only")
        return str(kind)

    def _compute(self, new: Document, old: Document | None, compute: object) -> str:
        name = new.id.name
        try:
            found = self.azure.store.get(ResourceId.parse(str(compute or "")))
        except AzureError:
            found = None
        here = found is not None and found.id.parent is not None and found.id.parent.key == _above(new.id).key
        if found is None or not here or found.id.type.lower() != COMPUTES.lower():
            raise _bad(f"compute '{compute}' of endpoint '{name}' is none that is attached to the workspace")
        if found.properties.get("provisioningState") != "Succeeded":
            raise _bad(f"compute '{compute}' of endpoint '{name}' is not usable: its provisioning has not succeeded")
        if old is not None and old.properties["compute"].lower() != found.id.key:
            raise _bad(f"The compute of endpoint '{name}' cannot be changed from '{old.properties['compute']}'")
        return found.id.path

    def _publish(self, document: Document) -> None:
        given = document.properties
        route = Route(
            document.id,
            given["authMode"],
            given["publicNetworkAccess"] == "Enabled",
            tuple(document.private[key] for key in _KEY_NAMES.values()),
            document.private["tokenKey"],
            dict(given.get("traffic") or {}),
            dict(given.get("mirrorTraffic") or {}),
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
        if total not in {0, _WHOLE}:
            raise _bad(f"The traffic of endpoint '{id_.name}' adds up to {total} %: it must be 0 or 100")
        live = [name for name, share in mirror.items() if share]
        if len(live) > 1:
            raise _bad(
                f"mirrorTraffic of endpoint '{id_.name}' names {len(live)} deployments: only one can be mirrored to"
            )
        for name in live:
            if mirror[name] > _MOST_MIRROR:
                raise _bad(f"mirrorTraffic of '{name}' is {mirror[name]} %: at most {_MOST_MIRROR} can be mirrored")
            if traffic.get(name):
                raise _bad(f"Deployment '{name}' cannot get mirrored traffic while it gets live traffic")
        for name in {**traffic, **mirror}:
            found = self.azure.store.get(id_.child("deployments", name))
            if found is None:
                raise _bad(f"Deployment '{name}' does not exist in endpoint '{id_.name}': traffic cannot be sent to it")
            if "serving" not in found.private and (traffic.get(name) or mirror.get(name)):
                raise _bad(
                    f"Deployment '{name}' of endpoint '{id_.name}' is in provisioning state"
                    f" '{found.properties.get('provisioningState')}': only one that has succeeded can get traffic"
                )

    def _grant(self, endpoint: Document) -> None:
        """Azure gives an endpoint's own identity the pull role on the workspace's own registry."""
        body = endpoint.body.get("identity") or {}
        workspace = self.azure.find(_above(endpoint.id).path)
        path = workspace.properties.get("containerRegistry")
        if not path or not body.get("principalId"):
            return
        registry = self.azure.store.get(ResourceId.parse(path))
        if registry is None or registry.properties.get("roleAssignmentMode") == registry_tokens.ABAC:
            return
        granted = self.azure.find(authorization.grant(self.azure, body["principalId"], PULL_ROLE, registry.id).path)
        self.azure.store.put(granted.having({"by": endpoint.id.key}))

    def _regenerate(self, document: Document, body: dict[str, Any]) -> Response:
        kind = str(body.get("keyType", "")).lower()
        if kind not in _KEY_NAMES:
            raise _bad(f"keyType '{body.get('keyType')}' is neither 'Primary' nor 'Secondary'")
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
        self.fleet = Fleet(azure.folder, lambda version: ml_assets.files(azure, version))

    def check(self, new: Document, old: Document | None) -> Document:
        """All that can be said before the image is pulled."""
        name, given = new.id.name, {key: value for key, value in new.properties.items() if value is not None}
        if not _NAME.fullmatch(name):
            raise _bad(f"Deployment name '{name}' is invalid: {_NAME_RULE}")
        if old is not None and "serving" not in old.private:
            raise AzureError(
                400,
                "BadRequest",
                f"Specified deployment [{name}] failed during initial provisioning and is in an unrecoverable state."
                " Delete and re-create.",
            )
        endpoint = self.azure.find(_above(new.id).path)
        state = endpoint.properties.get("provisioningState")
        if state != "Succeeded":
            raise AzureError(
                409,
                "Conflict",
                f"Cannot create a deployment in endpoint {endpoint.id.name} because it is in {state} provisioning"
                " state; another operation must finish first",
            )
        if endpoint.body["location"] != new.body["location"]:
            raise _bad(
                f"Deployment '{name}' is in location '{new.body['location']}', its endpoint in"
                f" '{endpoint.body['location']}': give both the same"
            )
        given = {**_defaults(given, old, name), "environmentId": self._environment(given, new).id.path}
        _settings(given)
        kind = given["endpointComputeType"]
        if kind != endpoint.body["kind"]:
            raise _bad(f"Deployment '{name}' is of kind {kind}, its endpoint of kind {endpoint.body['kind']}")
        ml_kinds.check_network(given, kind, name, self.azure.find(_above(endpoint.id).path))
        ml_kinds.check_collector(given.get("dataCollector"), name)
        sku = {"name": "Default", "tier": "Standard", **(new.body.get("sku") or {})}
        sku["capacity"] = ml_kinds.count(sku, given, kind, name)
        self._share(given, endpoint, name)
        environment = self.azure.find(given["environmentId"]).properties
        served = environment.get("condaFile") and not environment.get("inferenceConfig")
        if served and not given.get("codeConfiguration"):
            raise _bad(f"Deployment '{name}' lacks 'codeConfiguration': Azure ML's own server runs an entry script")
        # Azure shows what it sets for model and code among the variables.
        given["environmentVariables"] = given["environmentVariables"] | ml_assets.check_mounts(self.azure, given, name)
        body = {**new.body, "kind": kind, "properties": given, "sku": sku}
        return Document(new.id, body, new.private)

    def provision(self, new: Document, old: Document | None) -> Document:
        """Pull the image as the deployment's identity would, start containers, and wait until they are ready."""
        del old
        self._pause(new.id.name)
        environment = self.azure.find(new.properties["environmentId"])
        plan = self._plan(new, environment)
        if plan.mounts and (users := self._users(new.id)):
            ml_assets.demand_reader(self.azure, new.id, users)
        plan = plan.model_copy(update={"image_id": self._pull(new.id, plan.image)})
        if plan.instances > MOST_REPLICAS:
            _log.info("%s: %d instances, %d containers here", new.id.path, plan.instances, MOST_REPLICAS)
        self._deploy(new.id, plan)
        return new.having({"serving": plan.model_dump()})

    def guard(self, document: Document) -> None:
        """Refuse to delete what gets traffic."""
        endpoint = self.azure.find(_above(document.id).path)
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
        endpoints(self.azure).forget_deployment(document)
        self.fleet.drop(document.id.key)

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`getLogs`."""
        if name.lower() != "getlogs":
            return super().action(document, name, request)
        tail = request.body.get("tail")
        return Response(200, {"content": self._log(document, int(tail or _LOG_TAIL))})

    def log(self, document: Document) -> str | None:
        """What its containers have written."""
        return self._log(document)

    def resume(self, document: Document) -> None:
        """Take over containers that still run, or start new ones; beside, since that may take long."""
        if "serving" in document.private:
            plan = Plan.model_validate(document.private["serving"])
            threading.Thread(target=self._resume, args=(document, plan), daemon=True).start()

    def suspend(self) -> None:
        """Containers go; their documents stay, and `resume` brings them back."""
        self.fleet.suspend()

    def sweep(self) -> None:
        """Remove containers that a killed local Azure has left, and that no document wants."""
        known = {found.id.key for found in self.azure.store.of_type(DEPLOYMENTS) if "serving" in found.private}
        self.fleet.docker.sweep(lambda _, deployment: deployment in known)

    def _resume(self, document: Document, plan: Plan) -> None:
        """Try again and again: the Docker engine may be away at first."""
        while not self.fleet.stopping.is_set():
            try:
                if not self.fleet.docker.has(plan.image_id):
                    plan = plan.model_copy(update={"image_id": self._pull(document.id, plan.image)})
                self._deploy(document.id, plan, resuming=True)
            except AzureError as error:
                _log.warning("%s does not come back: %s", document.id.path, error)
                self.fleet.stopping.wait(_RESUME_PAUSE)
            else:
                return
            latest = None if self.fleet.stopping.is_set() else self.azure.store.get(document.id)
            if latest is None or latest.private.get("serving") != document.private["serving"]:
                return

    def _deploy(self, id_: ResourceId, plan: Plan, *, resuming: bool = False) -> None:
        failing = self.azure.faults.get("probe-fails")
        fail_probes = failing is True or failing == id_.name
        try:
            self.fleet.deploy(id_.key, plan, fail_probes=fail_probes, resuming=resuming)
        except CrashError as error:
            raise AzureError(
                400, "ResourceNotReady", f"Deployment '{id_.name}' of endpoint '{_above(id_).name}': {error}"
            ) from error

    def _pause(self, name: str) -> None:
        # An interruptible sleep: a stopping local Azure does not wait for it.
        self.fleet.stopping.wait(float(self.azure.faults.get("deployment-delay") or 0))
        failing = self.azure.faults.get("deployment-fails")
        if failing is True or failing == name:
            raise AzureError(
                400, "ResourceNotReady", f"Deployment '{name}': User container has crashed or terminated (by a fault)"
            )

    def _environment(self, given: dict[str, Any], new: Document) -> Document:
        path = str(given.get("environmentId") or "")
        if not path:
            raise _bad(f"Deployment '{new.id.name}' lacks 'environmentId'")
        return ml_assets.version_of(self.azure, path, "Environment", VERSIONS, new.id.name)

    def _log(self, document: Document, tail: int = _LOG_TAIL) -> str:
        told = self.fleet.log(document.id.key, tail)
        plan = document.private.get("serving") or {}
        if plan.get("gpus") and not self.fleet.docker.has_gpus:
            machine = document.properties.get("instanceType") or "it"
            told = f"local Azure: {machine} has GPUs, this machine's Docker has none: it runs on the processor\n{told}"
        return told

    def _share(self, given: dict[str, Any], endpoint: Document, name: str) -> ml_kinds.Share:
        """What one container may have."""
        if given["endpointComputeType"] == "Kubernetes":
            return ml_kinds.share(given, compute_of(self.azure, endpoint), name)
        if given.get("containerResourceRequirements"):
            raise _bad(f"containerResourceRequirements of deployment '{name}' are for Kubernetes online endpoints only")
        # A machine's GPUs are all the container's; how many of this machine's stand for them is the engine's choice.
        return ml_kinds.Share(gpus=int(ml_kinds.has_gpu(str(given["instanceType"]))))

    def _plan(self, deployment: Document, environment: Document) -> Plan:
        routes: dict[str, Any] = environment.properties.get("inferenceConfig") or _DEFAULT_ROUTES
        liveness, readiness, scoring = (dict(routes[name]) for name in ROUTES)
        given = deployment.properties
        settings = _settings(given)
        share = self._share(given, self.azure.find(_above(deployment.id).path), deployment.id.name)
        return Plan(
            image=ml_images.image_of(self.azure, environment),
            environment=given.get("environmentVariables") or {},
            mounts=ml_assets.mounts(self.azure, given, deployment.id.name)[0],
            port=int(scoring["port"]),
            scoring=scoring["path"],
            collector=given.get("dataCollector") or {},
            liveness=_probe(given["livenessProbe"], liveness, "livenessProbe"),
            readiness=_probe(given["readinessProbe"], readiness, "readinessProbe"),
            concurrency=settings[0],
            timeout=settings[1],
            instances=int(deployment.body["sku"]["capacity"]),
            cpu=share.cpu,
            memory=share.memory,
            gpus=share.gpus,
            scale=_scaling(given["scaleSettings"]),
        )

    def _users(self, id_: ResourceId) -> list[Principal]:
        """The user-assigned identities of a deployment's endpoint."""
        body = self.azure.find(_above(id_).path).body.get("identity") or {}
        found = (body.get("userAssignedIdentities") or {}).values()
        return [who for each in found if (who := entra.find_principal(self.azure, each["principalId"]))]

    def _pull(self, id_: ResourceId, image: str) -> str:
        host = registry_host(image)
        registry = registry_tokens.find(self.azure, host)
        who, login = self._login(id_, host, registry)
        try:
            return self.fleet.docker.pull(image, login)
        except PullError as error:
            deployment = f"Deployment '{id_.name}' of endpoint '{_above(id_).name}'"
            cause = f"unable to pull image '{image}' from registry '{host}' as {who.text}: {error}"
            if error.denied:
                given = login is not None and who.principal is None
                cause += f"; {_CREDENTIALS if given else self._remedy(who, registry, host)}"
            raise AzureError(400, "ImagePullFailure", f"{deployment}: {cause}") from error

    def _login(self, id_: ResourceId, host: str, registry: Document | None) -> "tuple[_Who, Login | None]":
        """Whose credentials the image is pulled with: a connection's, an identity's, or nobody's."""
        endpoint = self.azure.find(_above(id_).path)
        for connection in self.azure.store.of_type(CONNECTIONS, _above(endpoint.id)):
            given, kept = connection.properties, connection.private["credentials"]
            if given["category"] != "ContainerRegistry" or _host(given["target"]) != host.lower():
                continue
            where = f"connection '{connection.id.name}'"
            if given["authType"] == "UsernamePassword":
                user = str(kept["username"])
                principal = entra.find_by_app(self.azure, user)
                return _Who(_told(principal, f"user '{user}'", where), principal), Login(user, str(kept["password"]))
            if given["authType"] == "ManagedIdentity":
                principal = entra.find_by_app(self.azure, str(kept["clientId"]))
                return self._as_identity(principal, registry, f"client id '{kept['clientId']}'", where)
        users = list(((endpoint.body.get("identity") or {}).get("userAssignedIdentities") or {}).values())
        own = (endpoint.body.get("identity") or {}).get("principalId")
        candidates = [each["principalId"] for each in users] + ([own] if own else [])
        principals = [found for each in candidates if (found := entra.find_principal(self.azure, each))]
        if registry is None or not principals:
            return _Who("anonymous", None), None
        able = [each for each in principals if registry_tokens.may(self.azure, registry, each)]
        if not able and registry.properties.get("anonymousPullEnabled"):
            return _Who("anonymous", None), None
        return self._as_identity((able or principals)[0], registry, "", f"identity of endpoint '{endpoint.id.name}'")

    def _as_identity(
        self, principal: Principal | None, registry: Document | None, named: str, where: str
    ) -> "tuple[_Who, Login | None]":
        who = _Who(_told(principal, named, where), principal)
        if principal is None or registry is None:
            return who, None
        return who, Login(*registry_tokens.login(self.azure, registry, principal))

    def _remedy(self, who: "_Who", registry: Document | None, host: str) -> str:
        if registry is None or (who.principal and registry_tokens.may(self.azure, registry, who.principal)):
            return _CREDENTIALS
        abac = registry.properties.get("roleAssignmentMode") == registry_tokens.ABAC
        role = "Container Registry Repository Reader" if abac else "AcrPull"
        if who.principal is None:
            return f"role '{role}' is needed: give it to the endpoint's identity, or to a connection's to '{host}'"
        return f"authorization failed: the principal lacks role '{role}' on registry '{registry.id.path}': assign it"


@dataclass(frozen=True)
class _Who:
    """As whom an image is pulled, for the error's text."""

    text: str
    principal: Principal | None


def endpoints(azure: Azure) -> OnlineEndpoint:
    """The service of endpoints, with its routes."""
    found = azure.service(ENDPOINTS)
    assert isinstance(found, OnlineEndpoint)  # noqa: S101 - for the type checker: `serve` made it
    return found


def deployments(azure: Azure) -> OnlineDeployment:
    """The service of deployments, with its fleet."""
    found = azure.service(DEPLOYMENTS)
    assert isinstance(found, OnlineDeployment)  # noqa: S101 - for the type checker: `serve` made it
    return found


def serving(azure: Azure) -> list[dict[str, Any]]:
    """Each deployment, with what it gets and how it fares."""
    fleet = deployments(azure).fleet
    told = []
    for endpoint in azure.store.of_type(ENDPOINTS):
        for found in azure.store.of_type(DEPLOYMENTS, endpoint.id):
            pool, metrics = fleet.pools.get(found.id.key), fleet.metrics.get(found.id.key)
            shares = (_share_of(endpoint, field_, found.id.name) for field_ in ("traffic", "mirrorTraffic"))
            told.append(
                {
                    "endpoint": endpoint.id.name,
                    "deployment": found.id.name,
                    "kind": endpoint.body["kind"],
                    "state": found.properties.get("provisioningState"),
                    **dict(zip(("traffic", "mirror"), shares, strict=True)),
                    "instances": pool.plan.instances if pool else found.body["sku"]["capacity"],
                    "ready": sum(replica.ready for replica in pool.replicas) if pool else 0,
                    "requests": metrics.requests if metrics else 0,
                    "failures": metrics.failures if metrics else 0,
                    "scoringUri": endpoint.properties.get("scoringUri"),
                }
            )
    return told


def _share_of(endpoint: Document, field_: str, name: str) -> int:
    given = endpoint.properties.get(field_) or {}
    return next((share for key, share in given.items() if key.lower() == name.lower()), 0)


def port_name(endpoint: ResourceId) -> str:
    """The name under which `azure.ports` keeps an endpoint's port."""
    return f"endpoint {endpoint.key}"


def token_is_valid(route: Route, token: str) -> bool:
    """Whether an AML token was issued for an endpoint, and still holds."""
    try:
        jwt.decode(token, route.token_key, ["HS256"], audience=route.id.key)
    except jwt.InvalidTokenError:
        return False
    return True


def registry_host(image: str) -> str:
    """The registry that an image's reference names; Docker Hub where it names none, as Docker has it."""
    head, separator, _ = image.partition("/")
    return head if separator and (re.search(r"[.:]", head) or head == "localhost") else "docker.io"


def _host(target: str) -> str:
    return re.sub(r"^https?://", "", target).split("/")[0].lower()


def _told(principal: Principal | None, named: str, where: str) -> str:
    if principal is None:
        return f"{named} ({where})"
    return f"principal '{principal.name}' (client id '{principal.app_id}', object id '{principal.object_id}'; {where})"


def _above(id_: ResourceId) -> ResourceId:
    parent = id_.parent
    assert parent is not None  # noqa: S101 - endpoints and deployments have parents by their type
    return parent


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadArgument", text)


def _shares(given: Any, what: str) -> dict[str, int]:  # noqa: ANN401 - JSON
    if given is not None and not isinstance(given, dict):
        raise _bad(f"{what} is not an object of deployment names and percentages")
    for name, share in (given or {}).items():
        whole = isinstance(share, (int, float)) and not isinstance(share, bool) and float(share).is_integer()
        if not whole or not 0 <= share <= _WHOLE:
            raise _bad(f"{what} of '{name}' is {share!r}: it must be a whole number from 0 to 100")
    return {name: int(share) for name, share in (given or {}).items()}


def _defaults(given: dict[str, Any], old: Document | None, name: str) -> dict[str, Any]:
    compute = next((each for each in _COMPUTES if each == given.get("endpointComputeType")), None)
    if compute is None:
        raise _bad(
            f"endpointComputeType '{given.get('endpointComputeType')}' of deployment '{name}' is none of"
            f" {', '.join(_COMPUTES)}"
        )
    if old is not None and old.properties["endpointComputeType"] != compute:
        raise _bad(f"endpointComputeType of deployment '{name}' cannot be changed: make another deployment")
    instance = given.get("instanceType")
    if compute == "Managed" and str(instance).lower() not in _KNOWN_TYPES:
        raise _bad(f"instanceType '{instance}' of deployment '{name}' is not supported for managed endpoints")
    variables = given.get("environmentVariables") or {}
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise _bad(f"environmentVariables of deployment '{name}' must all be texts")
    access = given.get("egressPublicNetworkAccess", "Enabled")
    if access not in _ACCESS:
        raise _bad(f"egressPublicNetworkAccess '{access}' of deployment '{name}' is neither 'Enabled' nor 'Disabled'")
    return {
        "appInsightsEnabled": False,
        **given,
        "environmentVariables": variables,
        "egressPublicNetworkAccess": access,
        "scaleSettings": ml_kinds.scale(given.get("scaleSettings"), compute, name),
        "requestSettings": {**_REQUEST_DEFAULTS, **_plain(given.get("requestSettings"))},
        "livenessProbe": {**_PROBE_DEFAULTS, **_plain(given.get("livenessProbe"))},
        "readinessProbe": {**_PROBE_DEFAULTS, **_plain(given.get("readinessProbe"))},
    }


def _scaling(given: dict[str, Any]) -> Scale | None:
    if given["scaleType"] == "Default":
        return None
    least, most = given["minInstances"], given["maxInstances"]
    return Scale(least=least, most=most, target=given["targetUtilizationPercentage"])


def _plain(given: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (given or {}).items() if value is not None}


def _settings(given: dict[str, Any]) -> tuple[int, float]:
    """How many requests an instance takes at a time, and how many seconds one may take. Probes are checked too."""
    for name in ("livenessProbe", "readinessProbe"):
        _probe(given[name], {"path": "/", "port": 1}, name)
    settings = given["requestSettings"]
    count = settings["maxConcurrentRequestsPerInstance"]
    if not isinstance(count, (int, float)) or not float(count).is_integer() or count < 1:
        raise _bad(f"requestSettings.maxConcurrentRequestsPerInstance '{count}' is not a whole number of at least 1")
    timeout = seconds(settings["requestTimeout"], "requestSettings.requestTimeout")
    most = ml_kinds.MOST_TIMEOUT[given["endpointComputeType"]]
    if not 0 < timeout <= most:
        raise _bad(
            f"requestSettings.requestTimeout '{settings['requestTimeout']}' is not within PT0S and PT{most / 60:g}M"
            f" ({most:g} seconds)"
        )
    seconds(settings["maxQueueWait"], "requestSettings.maxQueueWait")
    return int(count), timeout


def _probe(given: dict[str, Any], route: dict[str, Any], what: str) -> Probe:
    for name in ("successThreshold", "failureThreshold"):
        if not isinstance(given[name], (int, float)) or not float(given[name]).is_integer() or given[name] < 1:
            raise _bad(f"{what}.{name} '{given[name]}' is not a whole number of at least 1")
    times = {name: seconds(given[name], f"{what}.{name}") for name in ("initialDelay", "period", "timeout")}
    for name in ("period", "timeout"):
        if times[name] < 1:
            raise _bad(f"{what}.{name} '{given[name]}' is less than PT1S")
    return Probe(
        path=route["path"],
        port=int(route["port"]),
        delay=times["initialDelay"],
        period=times["period"],
        timeout=times["timeout"],
        successes=int(given["successThreshold"]),
        failures=int(given["failureThreshold"]),
    )


TYPES: list[type[ResourceType]] = [OnlineEndpoint, OnlineDeployment]
