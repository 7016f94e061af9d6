"""Azure throttles, fails or drops the connection at every class of call: tried again, or one line with the true cause.

A row is a call, and the one request of it that the fault meets: once, after which the call ends well; or for good,
after which its line names who did not answer.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azureml_scoring.delivery.pending import Query
from azureml_scoring.delivery.recover import Azure
from azureml_scoring.plan.reference import Reference
from azureml_scoring.provider.arm import ML_API, Arm, Cloud, find_cloud, find_credential
from azureml_scoring.provider.asset_version import CodeVersion, ModelVersion
from azureml_scoring.provider.endpoint_metrics import measure
from azureml_scoring.provider.endpoint_traffic import EndpointTraffic
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.image_build import ImageBuild, build
from azureml_scoring.provider.image_import import ImageImport
from azureml_scoring.provider.image_inspection import inspect_image
from azureml_scoring.provider.lookup import secret_at
from azureml_scoring.provider.readiness import Check, Finding, signed_in, tasks
from azureml_scoring.provider.registry_client import Login, resolve_digest
from azureml_scoring.settings.arguments import ImageBuildArgs

from tests.delivery.test_doctor import needs
from tests.provider.fake_azure import DIGEST, ENDPOINT, HOST, REGISTRY, Answer, FakeAzure, Sent
from tests.provider.test_asset_version import Storage, code, model
from tests.provider.test_image_build import KEY, Builder
from tests.provider.test_online import answering, stand, traffic

TENANT = "00000000-0000-0000-0000-000000000000"
SECRET = "hunter2-secret"
SIGNED = {"ARM_TENANT_ID": TENANT, "ARM_CLIENT_ID": TENANT, "ARM_CLIENT_SECRET": SECRET}
OIDC = {
    "ARM_TENANT_ID": TENANT,
    "ARM_CLIENT_ID": TENANT,
    "ARM_USE_OIDC": "true",
    "ARM_OIDC_REQUEST_URL": "https://ci.test/token?sig=hush",
    "ARM_OIDC_REQUEST_TOKEN": SECRET,
}
BUSY = {"error": {"code": "Busy", "message": "Too busy.\nPlease wait."}}


def _raise(error: Exception) -> Answer:
    raise error


FAULTS: dict[str, Callable[[], Answer]] = {
    "429": lambda: (429, {}, BUSY),
    "429 with a time": lambda: (429, {"Retry-After": "7"}, BUSY),
    "500": lambda: (500, {}, BUSY),
    "503 of a proxy": lambda: (503, {}, b"<html>?sig=hush</html>"),
    "dropped": lambda: _raise(ServiceResponseError("Remote end closed connection without response ?sig=hush")),
    "refused": lambda: _raise(ServiceRequestError("HTTPSConnectionPool(/x?sig=hush): Connection refused")),
}


def cause(fault: str, sent: Sent) -> str:
    """What a line says of a fault that lasts."""
    host, request = urlsplit(sent.url).netloc, f"{sent.method} {sent.path}"
    if fault in {"dropped", "refused"}:
        words = "it closed the connection" if fault == "dropped" else "connection refused"
        return f"{host} does not answer ({request}): {words}; is it up and reachable from here?"
    said = "" if "proxy" in fault else ", Busy: Too busy. Please wait"
    return f"{host} answered HTTP {fault[:3]} ({request}){said}; run it again later"


# -- the calls: each makes its world, and returns what asks


Ask = Callable[[], object]


def _metadata(azure: FakeAzure, _: Path) -> Ask:
    authentication = {"loginEndpoint": "https://login.test", "audiences": [HOST]}
    answer = {"resourceManager": HOST, "authentication": authentication}
    azure.on("GET", "/metadata/", lambda _: (200, {}, answer))
    return lambda: find_cloud({"ARM_METADATA_HOSTNAME": "cloud.test"}, azure)


def _sign_in(environment: dict[str, str], azure: FakeAzure, _: Path) -> Ask:
    base = f"https://login.test/{TENANT}"
    known = {"issuer": f"{base}/v2.0", "authorization_endpoint": f"{base}/oauth2/v2.0/authorize"}
    known["token_endpoint"] = f"{base}/oauth2/v2.0/token"
    token = {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3600}
    azure.on("GET", "openid-configuration", lambda _: (200, {}, known))
    azure.on("POST", "oauth2/v2.0/token", lambda _: (200, {}, token))
    azure.on("GET", "ci.test", lambda _: (200, {}, {"value": "assertion"}))
    cloud = Cloud(HOST, "https://login.test", HOST, public=False)
    return lambda: Arm(cloud, find_credential(environment, cloud, azure), transport=azure).token()


def _resource_manager(method: str, azure: FakeAzure, _: Path) -> Ask:
    arm, body = azure.arm(), {"location": "westeurope", "properties": {}}
    arm.put(ENDPOINT, ML_API, body)
    azure.on("PATCH", ENDPOINT, lambda _: (200, {}, azure.documents[ENDPOINT]))
    azure.on("GET", r"/pages\?", lambda _: (200, {}, {"value": [], "nextLink": f"{HOST}/more?page=2"}))
    azure.on("GET", "/more", lambda _: (200, {}, {"value": []}))
    asks: dict[str, Ask] = {
        "GET": lambda: arm.get(ENDPOINT, ML_API),
        "PUT": lambda: arm.put(ENDPOINT, ML_API, body),
        "PATCH": lambda: arm.patch(ENDPOINT, ML_API, body),
        "DELETE": lambda: arm.delete(ENDPOINT, ML_API),
        "POST": lambda: arm.post(f"{ENDPOINT}/listKeys", ML_API),
        "pages": lambda: list(arm.list_all("/pages", ML_API)),
    }
    return asks[method]


def _build(azure: FakeAzure, folder: Path) -> Ask:
    Builder(azure)
    (folder / "Dockerfile").write_text("FROM base\n")
    values = {"registryId": REGISTRY, "loginServer": "acr.azurecr.io", "repository": "team/iris", "contentKey": KEY}
    inputs = ImageBuildArgs.model_validate(ImageBuild().check({**values, "context": str(folder)}).inputs)
    return lambda: build(azure.context(), inputs)


def _inspection(azure: FakeAzure, _: Path) -> Ask:
    Builder(azure)
    azure.on("GET", "/manifests/", lambda sent: _signed(sent, {"config": {"digest": "sha256:c"}, "layers": []}))
    azure.on("GET", "/blobs/", lambda _: (307, {"Location": "https://blobs.test/config?sig=hush"}, None))
    azure.on("GET", "blobs.test/config", lambda _: (200, {}, {"config": {}}))
    return lambda: inspect_image(azure.arm(), "acr.azurecr.io", "team/iris", DIGEST)


def _signed(sent: Sent, body: object) -> Answer:
    realm = 'Bearer realm="https://acr.azurecr.io/oauth2/token",service="acr.azurecr.io"'
    return (200, {}, body) if "Authorization" in sent.headers else (401, {"WWW-Authenticate": realm}, None)


def _elsewhere(login: Login | None, azure: FakeAzure, _: Path) -> Ask:
    realm = 'Bearer realm="https://auth.test/token",service="ghcr.io"'
    found: Answer = (200, {"Docker-Content-Digest": DIGEST}, None)
    challenge: Answer = (401, {"WWW-Authenticate": realm}, None)
    azure.on("HEAD", "ghcr.io/v2", lambda sent: found if "Authorization" in sent.headers else challenge)
    azure.on("GET", "auth.test", lambda _: (200, {}, {"token": "pull-token"}))
    return lambda: resolve_digest(azure.arm(), Reference("ghcr.io", "team/app", "1"), login)


def _import(azure: FakeAzure, _: Path) -> Ask:
    arrived: list[Sent] = []

    def arrive(sent: Sent) -> Answer:
        arrived.append(sent)
        return 200, {}, None

    head: Answer = (200, {"Docker-Content-Digest": DIGEST}, None)
    azure.on("HEAD", "acr.azurecr.io/v2", lambda _: head if arrived else (404, {}, None))
    azure.on("POST", "/importImage", arrive)
    azure.on("GET", r"/subscriptions\?", lambda _: (200, {}, {"value": []}))
    names = {"registryId": REGISTRY, "loginServer": "acr.azurecr.io", "source": f"ghcr.io/team/app@{DIGEST}"}
    return lambda: ImageImport().create(azure.context(), ImageImport().check(names).inputs)


def _code(azure: FakeAzure, folder: Path) -> Ask:
    Storage(azure)
    return lambda: CodeVersion().create(azure.context(), code(_app(folder)))


def _model(azure: FakeAzure, folder: Path) -> Ask:
    Storage(azure)
    return lambda: ModelVersion().create(azure.context(), model(_app(folder)))


def _app(folder: Path) -> Path:
    (folder / "app").mkdir(exist_ok=True)
    (folder / "app/score.py").write_text("def run(): ...\n")
    return folder / "app"


def _vault(azure: FakeAzure, _: Path) -> Ask:
    azure.on("GET", "v1.vault.azure.net", lambda _: (200, {}, {"value": SECRET}))
    return lambda: secret_at(azure.arm(), "registry.passwordSecret", "https://v1.vault.azure.net/secrets/pull")


def _graph(query: Query | None, azure: FakeAzure, _: Path) -> Ask:
    azure.on("GET", "/applications", lambda _: (200, {}, {"value": []}))
    azure.on("POST", "/removePassword", lambda _: (204, {}, None))
    entra = Azure(azure.arm())
    return (lambda: entra.ask(query)) if query else lambda: entra.remove_password("app", "key")


def _traffic(azure: FakeAzure, _: Path) -> Ask:
    stand(azure, "blue")
    answering(azure)
    return lambda: EndpointTraffic().create(azure.context(), traffic({"blue": 100}, probe={"x": 1}))


def _metrics(azure: FakeAzure, _: Path) -> Ask:
    azure.on("GET", "Microsoft.Insights/metrics", lambda _: (200, {}, {"value": []}))
    return lambda: measure(azure.arm(), ENDPOINT, "blue", datetime.now(UTC), datetime.now(UTC))


@dataclass(frozen=True)
class Row:
    """A call, and its request that meets the fault."""

    make: Callable[[FakeAzure, Path], Ask]
    method: str
    url: str
    line: str = "{}"
    """What the call says, around the cause."""
    told: frozenset[str] = frozenset()
    """Faults of which already the first one is told."""


UNANSWERED = frozenset({"dropped", "refused"})
KEPT = "endpoint scoring keeps its traffic (nowhere): {}"
ROWS = {
    "cloud metadata": Row(_metadata, "GET", "/metadata/"),
    "sign-in, discovery": Row(partial(_sign_in, SIGNED), "GET", "openid-configuration"),
    "sign-in, token": Row(partial(_sign_in, SIGNED), "POST", "oauth2/v2.0/token"),
    "sign-in, token of a CI job": Row(partial(_sign_in, OIDC), "POST", "oauth2/v2.0/token"),
    "identity token of CI": Row(partial(_sign_in, OIDC), "GET", "ci.test"),
    **{
        f"Resource Manager, {method}": Row(partial(_resource_manager, method), method, ENDPOINT)
        for method in ("GET", "PUT", "PATCH", "DELETE", "POST")
    },
    "Resource Manager, next page": Row(partial(_resource_manager, "pages"), "GET", "/more"),
    "Resource Manager, long operation": Row(partial(_resource_manager, "PUT"), "GET", "/operations/"),
    "build, tag": Row(_build, "HEAD", "acr.azurecr.io/v2"),
    "build, exchange of the token": Row(_build, "POST", "oauth2/exchange"),
    "build, token to pull": Row(_build, "POST", "oauth2/token"),
    "build, upload address": Row(_build, "POST", "listBuildSourceUploadUrl"),
    "build, start of the run": Row(_build, "POST", "scheduleRun", told=UNANSWERED | {"429"}),
    "build, state of the run": Row(_build, "GET", "/runs/ca1"),
    "inspection, manifest": Row(_inspection, "GET", "/manifests/"),
    "inspection, config": Row(_inspection, "GET", "/blobs/"),
    "inspection, storage": Row(_inspection, "GET", "blobs.test/config"),
    "public registry, tag": Row(partial(_elsewhere, None), "HEAD", "ghcr.io", told=frozenset({"refused"})),
    "public registry, token": Row(partial(_elsewhere, None), "GET", "auth.test", told=frozenset({"refused"})),
    "private registry, token": Row(
        partial(_elsewhere, Login("me", SECRET)), "GET", "auth.test", told=frozenset({"refused"})
    ),
    "import of an image": Row(_import, "POST", "/importImage"),
    "code, upload address": Row(_code, "POST", "startPendingUpload"),
    "model, account key": Row(_model, "POST", "listSecrets"),
    "vault, secret": Row(_vault, "GET", "v1.vault.azure.net"),
    "Graph, query": Row(partial(_graph, Query(application="pull")), "GET", "/applications"),
    "Graph, removal of a password": Row(partial(_graph, None), "POST", "/removePassword", told=UNANSWERED | {"429"}),
    "endpoint key": Row(_traffic, "POST", "/listKeys", KEPT),
    "metrics": Row(_metrics, "GET", "Microsoft.Insights/metrics"),
}


@dataclass
class World:
    """A scripted Azure in which one request of a call meets a fault."""

    azure: FakeAzure
    row: Row
    fault: str
    lasts: int
    """How many of these requests meet it."""
    met: list[Sent]

    def ask(self, folder: Path) -> object:
        """Make the call."""
        ask = self.row.make(self.azure, folder)
        usual = self.azure._answer
        self.azure._answer = lambda sent: self._answer(usual, sent)  # type: ignore[method-assign]
        return ask()

    def _answer(self, usual: Callable[[Sent], Answer], sent: Sent) -> Answer:
        if sent.method != self.row.method or not re.search(self.row.url, sent.url) or len(self.met) >= self.lasts:
            return usual(sent)
        self.met.append(sent)
        return FAULTS[self.fault]()


def world(name: str, fault: str, lasts: int) -> World:
    return World(FakeAzure(), ROWS[name], fault, lasts, [])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage's client waits by itself, not by the transport."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


ONCE = [(name, fault) for name, row in ROWS.items() for fault in FAULTS if fault not in row.told]
LASTING = [(name, fault) for name in ROWS for fault in FAULTS]


@pytest.mark.parametrize(("name", "fault"), ONCE)
def test_a_fault_that_ends_is_waited_out(name: str, fault: str, tmp_path: Path) -> None:
    there = world(name, fault, 1)
    there.ask(tmp_path)
    assert len(there.met) == 1


@pytest.mark.parametrize(("name", "fault"), LASTING)
def test_a_fault_that_lasts_is_one_line_with_its_cause(
    name: str, fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there = world(name, fault, 1 if fault in ROWS[name].told else 10**6)
    with pytest.raises(ResourceError) as caught:
        there.ask(tmp_path)
    assert str(caught.value) == there.row.line.format(cause(fault, there.met[0]))
    assert (len(there.met) == 1) == (fault in there.row.told)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_is_tried_again_and_one_that_never_succeeds_is_not_called_refused(fault: str, tmp_path: Path) -> None:
    row = Row(_build, "PUT", "blobs.test/source")
    # Storage throttles by 503, and its client tries no 429 again.
    # https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
    if "429" not in fault:
        World(FakeAzure(), row, fault, 1, []).ask(tmp_path)
    there = World(FakeAzure(), row, fault, 10**6, [])
    with pytest.raises(ResourceError) as caught:
        there.ask(tmp_path)
    line = str(caught.value)
    if fault in UNANSWERED:
        assert line == cause(fault, there.met[0])
    else:
        said = rf"the upload of the build context did not succeed: HTTP {fault[:3]} [\w ]+; run up again"
        assert re.fullmatch(said, line)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_deployment_is_asked_again_and_one_that_never_answers_well_gets_no_traffic(
    fault: str, tmp_path: Path
) -> None:
    row = Row(_traffic, "POST", "https://scoring.test/score")
    World(FakeAzure(), row, fault, 4, []).ask(tmp_path)
    there = World(FakeAzure(), row, fault, 10**6, [])
    with pytest.raises(ResourceError, match="did not pass the smoke test in 5 attempts") as caught:
        there.ask(tmp_path)
    said = cause(fault, there.met[0]) if fault in UNANSWERED else f"HTTP {fault[:3]} "
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_log_that_cannot_be_read_fails_no_build(fault: str, tmp_path: Path) -> None:
    for method, url in (("POST", "listLogSasUrl"), ("GET", "blobs.test/log")):
        World(FakeAzure(), Row(_build, method, url), fault, 10**6, []).ask(tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_that_azure_does_not_answer_is_unknown_and_not_wrong(fault: str, tmp_path: Path) -> None:
    def look(azure: FakeAzure, _: Path) -> Ask:
        needed = needs(registry=REGISTRY)
        azure.on("GET", r"/subscriptions/[^/]+\?", lambda _: (200, {}, {"displayName": "ours", "state": "Enabled"}))
        azure.documents[REGISTRY] = {"id": REGISTRY, "properties": {}}
        finds = (lambda: signed_in(azure.arm(), "s"), lambda: tasks(azure.arm(), needed))
        return lambda: [finding for find in finds for finding in Check("a check", find).findings()]

    for lasts, status in ((1, "ok"), (10**6, "unknown")):
        there = World(FakeAzure(), Row(look, "GET", "."), fault, lasts, [])
        findings = cast("list[Finding]", there.ask(tmp_path))
        assert [each.status for each in findings] == [status] * 2
    assert str(findings[0]) == cause(fault, there.met[0])


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (200, b"<html>?sig=hush</html>", "login.test answered HTTP 200 without JSON ({}); is a proxy in between?"),
        (400, {"error": {"code": "BadTenant", "message": "No such\ntenant."}}, "BadTenant: No such tenant. ({})"),
    ],
)
def test_what_is_no_answer_of_a_token_service_is_a_sentence(
    status: int, body: object, line: str, tmp_path: Path
) -> None:
    ask = _sign_in(SIGNED, azure := FakeAzure(), tmp_path)
    azure.on("POST", "oauth2/v2.0/token", lambda _: (status, {}, body))
    with pytest.raises(ResourceError) as caught:
        ask()
    assert str(caught.value) == line.format(f"POST /{TENANT}/oauth2/v2.0/token")


def test_what_entra_refuses_names_the_variables(tmp_path: Path) -> None:
    azure = FakeAzure()
    ask = _sign_in(SIGNED, azure, tmp_path)
    said = "AADSTS7000215: Invalid client secret provided. Trace ID: abc Correlation ID: d"
    azure.on("POST", "oauth2/v2.0/token", lambda _: (401, {}, {"error": "invalid_client", "error_description": said}))
    with pytest.raises(ResourceError) as caught:
        ask()
    assert str(caught.value) == (
        "signing in to Azure failed: Authentication failed: AADSTS7000215: Invalid client secret provided.; "
        "check ARM_CLIENT_ID, ARM_CLIENT_SECRET and ARM_TENANT_ID"
    )
