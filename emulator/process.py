"""The one process of a local Azure: starts the core and all faces in order, says that it serves, and ends cleanly.

Owns that order and the listeners. How others find the process is `presence`; what a request means is the faces'
business.
"""

import json
import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from starlette.applications import Starlette
from starlette.middleware import Middleware

from emulator.backends import docker_engine
from emulator.catalogue import TYPES
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.options import Options
from emulator.core.ports import PortInUseError
from emulator.core.rbac import OWNER
from emulator.lifecycle import DEFAULT_PORT, DEFAULT_SCORING_PORT, LOG, READY, CannotServeError, sole
from emulator.protocols import arm, providers, registries, registry_token, tls, vaults
from emulator.protocols.gateway import Gateway
from emulator.protocols.page import server as page_server
from emulator.protocols.web import RequestLog, azure_error, listening
from emulator.services.authorization import types as authorization
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry.types import Registry
from emulator.services.graph import access as entra
from emulator.services.keyvault.types import Vault
from emulator.services.resources import types as resources

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ports:
    """Ports of the command line: a number, 0 for the stored one or any, None for the stored one or the default."""

    https: int | None = None
    scoring: int | None = None


def serve(folder: Path, ports: Ports, options: Options, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT."""
    # A handler may run in the middle of anything: of all that can be waited for, this alone is made for that.
    ended: SimpleQueue[int] = SimpleQueue()
    for handled in (signal.SIGTERM, signal.SIGINT):
        signal.signal(handled, lambda number, _: ended.put(number))
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    with ExitStack() as stack:
        stack.enter_context(sole(folder))
        (folder / READY).unlink(missing_ok=True)
        _start_log(folder)
        azure = Azure(folder, options)
        stack.callback(azure.store.close)
        stack.callback(docker_engine.close)
        try:
            environment = _open(azure, ports, stack)
        except PortInUseError as error:
            option = {"https": " (--port)", "scoring": " (--scoring-port)"}.get(error.name, "")
            raise CannotServeError(f"{error}{option}") from error
        _write_ready(folder, environment)
        stack.callback((folder / READY).unlink, missing_ok=True)
        tell(f"The local Azure serves at {azure.url} (state: {folder})")
        _wait(ended)
        (folder / READY).unlink(missing_ok=True)
        tell("The local Azure stops")


def _wait(ended: "SimpleQueue[int]") -> None:
    """Wait for a signal. One that reaches another thread is handled when this one next wakes."""
    while True:
        with suppress(Empty):
            ended.get(timeout=1)
            return


def _open(azure: Azure, ports: Ports, stack: ExitStack) -> dict[str, str]:
    """Open the faces, those first that others need: the realm before registries, all of them before what is resumed."""
    https = azure.ports.bind("https", _wanted(azure, "https", ports.https, DEFAULT_PORT))
    realm = azure.ports.bind(registry_access.PORT)
    _reserve_scoring(azure, ports.scoring)
    files = tls.prepare(azure.folder)
    deployer = entra.deployer(azure)
    for subscription, title in ((azure.subscription, "Local Azure"), (azure.other_subscription, "Local Azure, other")):
        scope = resources.make_subscription(azure, subscription, title)
        authorization.grant(azure, deployer.object_id, OWNER, scope)
    azure.serve(TYPES)
    if azure.options.registry_tls == "on":
        azure.serving(Registry).fronts = registries.Fronts(azure, files)
    azure.serving(Vault).listeners = vaults.Listeners(azure, files)
    page = page_server.Page(azure)
    stack.enter_context(listening(arm.application(azure, page.link), https, files))
    stack.enter_context(listening(page.application, azure.ports.bind(page_server.PORT), None))
    stack.callback(page.close)
    stack.enter_context(listening(_realm(azure), realm, None))
    stack.callback(azure.suspend)
    azure.resume()
    gateway = Gateway(azure)
    gateway.start()
    stack.callback(gateway.stop)
    fakes = providers.serve(azure)
    stack.callback(fakes.stop)
    bundle = str(files.bundle)
    return {
        "ARM_METADATA_HOSTNAME": azure.url.removeprefix("https://"),
        "ARM_SUBSCRIPTION_ID": azure.subscription,
        "ARM_TENANT_ID": azure.tenant,
        "ARM_CLIENT_ID": deployer.app_id,
        "ARM_CLIENT_SECRET": deployer.secret,
        "REQUESTS_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        "PULUMI_DEBUG_PROVIDERS": fakes.attach,
    }


def _wanted(azure: Azure, name: str, requested: int | None, default: int) -> int | None:
    """The port to bind: the requested one; at the first start the default one."""
    return requested if requested is not None else (None if azure.ports.of(name) else default)


def _reserve_scoring(azure: Azure, requested: int | None) -> None:
    """Keep where endpoints' scoring ports begin; the gateway takes one for each endpoint (0: any).

    Where no endpoint has its port yet, the first one must be free: better told now than by an endpoint at another port.
    """
    stored = azure.store.fact("scoring-port")
    first = requested if requested is not None else (DEFAULT_SCORING_PORT if stored is None else int(stored))
    if first and first not in azure.ports.numbers():
        azure.ports.check_free("scoring", first)
    azure.store.put_fact("scoring-port", first)


def _realm(azure: Azure) -> Starlette:
    """The plain-http listener: docker refuses an unknown certificate authority, and takes plain http for localhost."""
    app = Starlette(
        routes=registry_token.routes(azure),
        exception_handlers={AzureError: azure_error},
        middleware=[Middleware(RequestLog)],
    )
    app.state.challenge = None
    return app


def _write_ready(folder: Path, environment: dict[str, str]) -> None:
    draft = folder / f"{READY}.draft"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"pid": os.getpid(), "environment": environment}, file, indent=2)
    draft.replace(folder / READY)


def _start_log(folder: Path) -> None:
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for noisy in ("httpx", "httpcore", "urllib3", "docker"):  # they log URLs with their signatures
        logging.getLogger(noisy).setLevel(logging.WARNING)
