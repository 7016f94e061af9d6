"""The smallest whole stack, with names of its own, in whichever Azure the environment leads to.

Owns the folder with its config and state, and the way to Azure. What is claimed of Azure is `claims`.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml
from azureml_scoring.provider.arm import Arm, find_cloud, find_credential

from tests.local_azure import ROOT
from tests.project import PATIENCE, Run, begin

INSTANCE = "Standard_DS1_v2"
WORD = "a secret of the build"
API = "2024-10-01"
"""The api-version of Azure ML's resources."""
_APP = Path(__file__).parent / "app"


@dataclass
class Stack:
    """One stack of the project's own program."""

    folder: Path
    environment: Mapping[str, str]
    """The whole environment: its ARM variables say which Azure, and who signs in."""
    name: str
    base: str
    """The base image of the stack's own image: one that ACR Tasks can pull."""
    location: str = "westeurope"
    cluster: str = ""
    """ARM id of a Kubernetes cluster with Azure ML's extension; empty where there is none."""

    def prepare(self) -> None:
        """Write what a user's checkout holds, with the smallest sizes; nothing is made in Azure."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for source in (ROOT / "infra", _APP):
            shutil.copytree(source, self.folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Pulumi.yaml", self.folder)
        (self.folder / ".venv").symlink_to(Path(sys.prefix))
        config = {
            "location": self.location,
            "registry": {"mode": "standalone", "sku": "Basic"},
            "principal": {"kind": "service-principal"},
            "image": {
                "context": "app",
                "repository": "acceptance",
                "builder": "acr",
                "buildArguments": {"BASE": self.base},
            },
            "endpoint": {"auth": "key", "traffic": {"blue": 100}},
            "deployments": {"blue": {"instanceType": INSTANCE, "instanceCount": 1}},
        }
        self._good("stack", "init", self.name)
        file = self.folder / f"Pulumi.{self.name}.yaml"
        sealed = yaml.safe_load(file.read_text()) if file.exists() else {}
        text = yaml.safe_dump({**sealed, "config": {f"scoring:{name}": value for name, value in config.items()}})
        file.write_text(text)
        self._good("config", "set", "--stack", self.name, "--secret", "--path", "scoring:image.buildSecrets.word", WORD)

    def pulumi(self, *words: str) -> Run:
        """Run the Pulumi CLI on this stack to its end."""
        process = begin(self.folder, dict(self.environment), *words, "--stack", self.name)
        text, _ = process.communicate(timeout=4 * PATIENCE)
        return Run(process.returncode, text)

    def up(self) -> Run:
        """`pulumi up` without questions."""
        return self.pulumi("up", "--yes", "--skip-preview")

    def destroy(self) -> Run:
        """`pulumi destroy` without questions."""
        return self.pulumi("destroy", "--yes", "--skip-preview")

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets shown."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").text)
        return found

    def secret(self, type_: str, output: str) -> str:
        """A secret output of the one resource of a type in the state."""
        exported = json.loads(self.pulumi("stack", "export", "--show-secrets").text)
        (found,) = [each for each in exported["deployment"]["resources"] if each["type"] == type_]
        return str(json.loads(found["outputs"][output]["plaintext"]))

    @property
    def local(self) -> bool:
        """Whether this is the local Azure."""
        return not self.arm.cloud.public

    @property
    def endpoint(self) -> str:
        """The endpoint's ARM id."""
        return f"{self.outputs['workspaceId']}/onlineEndpoints/{self.outputs['endpointName']}"

    @property
    def group(self) -> str:
        """The resource group's ARM id."""
        return str(self.outputs["workspaceId"]).rpartition("/providers/")[0]

    @property
    def password(self) -> str:
        """The password of the service principal that pulls."""
        return self.secret("azuread:index/applicationPassword:ApplicationPassword", "value")

    @cached_property
    def arm(self) -> Arm:
        """Resource Manager, signed in as Pulumi is."""
        cloud = find_cloud(self.environment)
        return Arm(cloud, find_credential(self.environment, cloud))

    def read(self, id_: str, version: str = API) -> dict[str, Any]:
        """A document of Resource Manager."""
        document = self.arm.get(id_, version)
        assert document is not None, f"{id_} is not there"
        return document

    def score(self, key: str | None) -> httpx.Response:
        """One request to the endpoint, with a key or without one."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.post(self.outputs["scoringUri"], json={}, headers=headers, timeout=60)

    def _good(self, *words: str) -> None:
        process = begin(self.folder, dict(self.environment), *words)
        text, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, text
