"""Azure's own clients, unchanged, on a stack that the program made: signed in as whoever made it.

Owns how the clients run, in a virtual environment of their own. What only the local Azure needs comes from here: the
addresses of its cloud, and on a machine that does not resolve names below localhost a private mount namespace with an
/etc/hosts of its own.
"""

import json
import os
import socket
import subprocess
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.acceptance.claims import NotTriedError
from tests.acceptance.stack import Stack
from tests.project import until
from tools import base_image

VENV = os.environ.get("CLIENTS", "")
LIBRARIES = Path(__file__).with_name("sdk.py")
_HOSTS = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')
_ROLES = ("Key Vault Secrets Officer", "Storage Blob Data Contributor")
_PATIENCE = 3600.0
"""Seconds that one client may take: deployments on Azure take a quarter of an hour each."""


@dataclass(frozen=True)
class Clients:
    """Azure's own clients on a stack."""

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
        if self.stack.local and not _resolves():
            hosts = self.folder / "hosts"
            hosts.write_text(f"127.0.0.1 localhost {self.vault}.vault.localhost {self.account}.blob.core.localhost\n")
            command = [*_HOSTS, str(hosts), *command]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def az(self, *words: str) -> object:
        """Run the Azure CLI; its answer."""
        text = self.run("az", *words, "--output", "json")
        return json.loads(text) if text.strip() else None

    def text(self, *words: str) -> str:
        """Run the Azure CLI; its answer as text."""
        return self.run("az", *words, "--output", "tsv").strip()

    @cached_property
    def libraries(self) -> dict[str, str]:
        """What went wrong in each journey of `sdk.py`, empty where nothing did. One process runs them all."""
        report = self.folder / "libraries.json"
        key = self.text("storage", "account", "keys", "list", "--account-name", self.account, "--query", "[0].value")
        self.environment.update(
            STACK=json.dumps(self.stack.outputs),
            ADDRESSES=json.dumps(self._addresses),
            ACCOUNT=self.account,
            ACCOUNT_KEY=key,
            LOCATION=self.stack.location,
            CONDA_BASE=base_image.NAME if self.stack.local else "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04",
        )
        self.run("python", str(LIBRARIES), str(report))
        found: dict[str, str] = json.loads(report.read_text())
        return found

    @property
    def _addresses(self) -> dict[str, str]:
        """Addresses that the libraries do not find by themselves."""
        told = {"graph": self.stack.arm.cloud.graph}
        if not self.stack.local:
            blob, vault = f"https://{self.account}.blob.core.windows.net", f"https://{self.vault}.vault.azure.net"
            return {**told, "blob": blob, "vault": vault}
        host = self.stack.environment["ARM_METADATA_HOSTNAME"]
        blob, vault = f"https://{self.account}.blob.core.{host}", f"https://{self.vault}.vault.{host}"
        return {**told, "blob": blob, "vault": vault, "cloud": f"https://{host}"}


def sign_in(stack: Stack) -> Clients:
    """Sign the clients in, with roles on the stack's vault and storage account; where they cannot, it is said why."""
    if not VENV:
        raise NotTriedError("Azure's own clients are not installed: `make acceptance` and `make clients` install them")
    names = {each["type"]: each["name"] for each in stack.arm.list_all(f"{stack.group}/resources", "2024-03-01")}
    folder = stack.folder.with_name("clients")
    folder.mkdir()
    own = {
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
        "DOCKER_CONFIG": str(folder / "docker"),
        "PATH": f"{VENV}/bin:{stack.environment['PATH']}",
        "PYTHONWARNINGS": "ignore",
    }
    vault, account = names["Microsoft.KeyVault/vaults"], names["Microsoft.Storage/storageAccounts"]
    clients = Clients(folder, stack, {**stack.environment, **own}, vault, account)
    _sign_in(clients)
    for role in _ROLES:
        clients.az("role", "assignment", "create", "--assignee", _caller(stack), "--role", role, "--scope", stack.group)
    until(lambda: _opens(clients), "the role on the vault")
    return clients


def _sign_in(clients: Clients) -> None:
    """Sign the Azure CLI in apart from the user's session; without a secret, that session is used."""
    variables, subscription = clients.environment, clients.stack.group.split("/")[2]
    secret = variables.get("ARM_CLIENT_SECRET")
    if not secret:
        try:
            current = clients.text("account", "show", "--query", "id")
        except AssertionError as error:
            raise NotTriedError(f"the Azure CLI is not signed in: {error}") from None
        if current != subscription:
            raise NotTriedError(f"the Azure CLI has another subscription: az account set --subscription {subscription}")
        return
    variables["AZURE_CONFIG_DIR"] = str(clients.folder / "az")
    if clients.stack.local:
        variables["AZURE_CORE_INSTANCE_DISCOVERY"] = "false"
        manager = ("--endpoint-resource-manager", f"https://{variables['ARM_METADATA_HOSTNAME']}")
        clients.az("cloud", "register", "--name", "LocalAzure", *manager)
        clients.az("cloud", "set", "--name", "LocalAzure")
    who = ("--username", variables["ARM_CLIENT_ID"], "--password", secret, "--tenant", variables["ARM_TENANT_ID"])
    clients.az("login", "--service-principal", *who)
    clients.az("account", "set", "--subscription", subscription)


def _caller(stack: Stack) -> str:
    """Object id of whoever is signed in.

    https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
    """
    payload = stack.arm.token().split(".")[1]
    return str(json.loads(urlsafe_b64decode(f"{payload}=="))["oid"])


def _opens(clients: Clients) -> bool:
    """Whether the vault honours the role by now; on Azure that takes up to ten minutes."""
    try:
        clients.az("keyvault", "secret", "list", "--vault-name", clients.vault)
    except AssertionError as error:
        if "Forbidden" not in str(error):
            raise
        return False
    return True


def _resolves() -> bool:
    """Whether this machine resolves names below localhost, as systemd-resolved and nss-myhostname do."""
    try:
        socket.getaddrinfo("name.vault.localhost", None)
    except OSError:
        return False
    return True
