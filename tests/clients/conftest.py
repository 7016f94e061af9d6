"""A stack that the program made on a local Azure of its own, and Azure's own clients beside it.

Owns how the clients run: unchanged, in their own virtual environment, with a machine that resolves names below
localhost. Where it does not, a private mount namespace gives them an /etc/hosts of their own.
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.__main__ import LOCAL_BASE
from tests.acceptance.stack import Stack
from tests.project import LocalAzure
from tools import azure

VENV = os.environ.get("CLIENTS", "")
_HOSTS = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')
PATIENCE = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the clients' virtual environment there is nothing to run: `make clients` installs it."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not VENV:
            item.add_marker(pytest.mark.skip(reason="Azure's own clients run by `make clients`"))


@dataclass(frozen=True)
class Clients:
    """Azure's own clients, signed in as the deployer."""

    folder: Path
    stack: Stack
    environment: dict[str, str]
    vault: str
    account: str

    @property
    def registry(self) -> str:
        """The name of the stack's registry."""
        return str(self.stack.outputs["registry"]["id"]).rpartition("/")[2]

    def run(self, program: str, *words: str) -> str:
        """Run a program of the clients' virtual environment; what it printed."""
        command = [f"{VENV}/bin/{program}", *words]
        hosts = self.folder / "hosts"
        if not _resolves():
            hosts.write_text(f"127.0.0.1 localhost {self.vault}.vault.localhost {self.account}.blob.core.localhost\n")
            command = [*_HOSTS, str(hosts), *command]
        environment = {**self.environment, "STACK": json.dumps(self.stack.outputs)}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def az(self, *words: str) -> object:
        """Run the Azure CLI; its answer."""
        text = self.run("az", *words, "--output", "json")
        return json.loads(text) if text.strip() else None


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    folder = tmp_path_factory.mktemp("clients")
    local = LocalAzure(folder / "azure", options=("--registry-tls=on",)).start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in azure.environment(folder / "stack", local.folder).items():
            patch.setenv(name, value)
        stack = Stack(folder / "stack", dict(os.environ), "clients")
        stack.prepare("westeurope", LOCAL_BASE)
        up = stack.up()
        assert up.code == 0, up.text
        yield _signed_in(folder, stack)
    local.stop()


def _signed_in(folder: Path, stack: Stack) -> Clients:
    group = stack.outputs["workspaceId"].rpartition("/providers/")[0]
    names = {each["type"]: each["name"] for each in stack.arm.list_all(f"{group}/resources", "2024-03-01")}
    own = {
        "AZURE_CONFIG_DIR": str(folder / "az"),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
        "DOCKER_CONFIG": str(folder / "docker"),
        "PYTHONWARNINGS": "ignore",
    }
    clients = Clients(
        folder,
        stack,
        {**stack.environment, **own},
        names["Microsoft.KeyVault/vaults"],
        names["Microsoft.Storage/storageAccounts"],
    )
    variables = stack.environment
    manager = f"https://{variables['ARM_METADATA_HOSTNAME']}"
    clients.az("cloud", "register", "--name", "LocalAzure", "--endpoint-resource-manager", manager)
    clients.az("cloud", "set", "--name", "LocalAzure")
    sign_in = ("--username", variables["ARM_CLIENT_ID"], "--password", variables["ARM_CLIENT_SECRET"])
    clients.az("login", "--service-principal", *sign_in, "--tenant", variables["ARM_TENANT_ID"])
    for role in ("Key Vault Secrets Officer", "Storage Blob Data Contributor"):
        clients.az(
            *("role", "assignment", "create", "--assignee", variables["ARM_CLIENT_ID"], "--role", role),
            *("--scope", f"/subscriptions/{variables['ARM_SUBSCRIPTION_ID']}"),
        )
    return clients


def _resolves() -> bool:
    """Whether this machine resolves names below localhost, as systemd-resolved and nss-myhostname do."""
    try:
        socket.getaddrinfo("name.vault.localhost", None)
    except OSError:
        return False
    return True
