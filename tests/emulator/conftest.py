"""The core and its services in this process, for tests that need no protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulator.catalogue import TYPES
from emulator.core.azure import Azure, Request
from emulator.core.options import Options
from emulator.core.rbac import OWNER, Principal
from emulator.services.authorization import types as authorization
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph
from emulator.services.resources import types as resources


@dataclass(frozen=True)
class InProcessAzure:
    """An Azure in this process with its deployer and a resource group `rg`."""

    azure: Azure
    deployer: Principal

    @property
    def group(self) -> str:
        """The resource group's ARM id."""
        return f"/subscriptions/{self.azure.subscription}/resourceGroups/rg"

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, who: Principal | None = None) -> Any:  # noqa: ANN401
        """One request (below the group, or of a whole id) to its end: the body that the finished resource shows."""
        whole = path if path.startswith("/") else f"{self.group}/{path}"
        return self.azure.wait(self.azure.request(Request(method, whole, who or self.deployer, body or {})))

    def service_principal(self, name: str = "principal") -> Principal:
        """A service principal without any role."""
        application = graph.create_application(self.azure, {"displayName": name})
        made = graph.create_service_principal(self.azure, application["appId"])
        found = graph.find_principal(self.azure, made["id"])
        assert found is not None
        return found


@contextmanager
def in_process(folder: Path, options: Options) -> Iterator[InProcessAzure]:
    """One with a state folder below `folder`."""
    azure = Azure(folder / "state", options)
    azure.ports.choose("https")
    deployer = entra.deployer(azure)
    authorization.grant(azure, deployer.object_id, OWNER, resources.make_subscription(azure))
    azure.serve(TYPES)
    local = InProcessAzure(azure, deployer.principal)
    local.ask("PUT", local.group, {"location": "westeurope"})
    yield local
    azure.store.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[InProcessAzure]:
    """A fresh one for each test, in which a role holds at once."""
    with in_process(tmp_path, Options(role_delay=0)) as started:
        yield started
