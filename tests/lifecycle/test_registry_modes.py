"""Each way to have a registry, from nothing to a reply and back, on the real engine."""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.conftest import Cloud
from tests.modes import (
    REPLY,
    answer,
    configure,
    registry_of_its_own,
    served,
    shelve,
    standing,
    taken_up,
    told,
    workspace,
)
from tests.project import LocalAzure, Project, Run
from tests.registries import (
    PULL,
    REPOSITORY_READER,
    REPOSITORY_WRITER,
    STORAGE_READER,
    LocalRegistry,
    assign,
    docker,
)
from tests.samples import is_printed

pytestmark = pytest.mark.slow

ROLE = "azure-native:authorization:RoleAssignment"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
OWN_ROLE = "azureml-scoring:index:RoleAssignment"
ENDPOINT = "azureml-scoring:index:OnlineEndpoint"
CONNECTION = "azure-native:machinelearningservices:WorkspaceConnection"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    return served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))


@pytest.fixture(scope="module")
def theirs(cloud: Cloud) -> Iterator[str]:
    """ServicePrincipal's workspace, without a registry."""
    with workspace(cloud) as id_:
        yield id_


def _types(project: Project) -> list[str]:
    return [resource["type"] for resource in project.state()["deployment"]["resources"]]


def test_a_workspace_is_made_with_its_registry_and_asks_for_no_credentials(project: Project, cloud: Cloud) -> None:
    image = {"context": "app", "repository": "served", "dockerfile": "Dockerfile.secret"}
    configure(project, registry={"mode": "workspace"}, image=image)
    _write_secret_dockerfile(project)
    with taken_up(project) as run:
        outputs = project.outputs()
        assert answer(outputs) == REPLY
        _the_secret_is_nowhere(project, cloud, outputs, run)
        made = cloud.ask("GET", outputs["workspaceId"]).json()["properties"]
        assert made["containerRegistry"] == outputs["registry"]["id"]
        owned = cloud.ask("GET", outputs["registry"]["id"]).json()["properties"]
        assert owned["adminUserEnabled"] is False
        assert not {ROLE, OWN_ROLE, CONNECTION} & set(_types(project))
        assert outputs["principal"]["clientId"] == ""


TOKEN = f"token-{uuid.uuid4().hex}"
"""Another one each time: the builder would remember the step, and say nothing."""


def _write_secret_dockerfile(project: Project) -> None:
    """Write a Dockerfile whose build fails without the right token, and which tells it to the log."""
    dockerfile = (project.folder / "app" / "Dockerfile").read_text()
    proof = hashlib.sha256(TOKEN.encode()).hexdigest()
    code = (
        "import hashlib; token = open('/run/secrets/TOKEN').read(); print('the token is', token); "
        f"assert hashlib.sha256(token.encode()).hexdigest() == '{proof}'"
    )
    step = f'RUN --mount=type=secret,id=TOKEN python3 -c "{code}"'
    (project.folder / "app" / "Dockerfile.secret").write_text(dockerfile.replace("CMD", f"{step}\nCMD"))
    sealed = project.pulumi(
        "config", "set", "--secret", "--path", "scoring:image.buildSecrets.TOKEN", TOKEN, "--stack", project.stack
    )
    assert sealed.code == 0, sealed.text


def _the_secret_is_nowhere(project: Project, cloud: Cloud, outputs: dict[str, Any], run: Run) -> None:
    """See that the build had it: the log says so without it, and no file of Pulumi, of Azure or of the image has it."""
    assert re.search(r"Run ID: ca\d+ was successful after \d+s", run.text), run.text
    assert TOKEN not in run.text
    built = project.resource("azureml-scoring:index:ImageBuild")["outputs"]
    assert built["durationSeconds"] > 0
    log = cloud.tell("logs", built["runId"])
    assert "the token is ***" in log
    assert TOKEN not in log
    _nowhere(project, TOKEN)
    with docker() as client:  # the engine has it, since the deployment runs it
        shown = client.good("history", "--no-trunc", outputs["image"]) + client.good("inspect", outputs["image"])
        assert "open('/run/secrets/TOKEN')" in shown
        assert TOKEN not in shown


def test_an_existing_workspace_without_a_registry_is_explained_and_gets_one_on_request(
    project: Project, cloud: Cloud
) -> None:
    with workspace(cloud) as theirs, registry_of_its_own(cloud) as registry, registry_of_its_own(cloud) as other:
        configure(project, registry={"mode": "workspace"}, workspace={"id": theirs})
        preview = project.preview()
        assert preview.code != 0
        why = [line for line in told(preview) if f'workspace.id = "{theirs}": it has no container registry yet' in line]
        assert len(why) == 1, preview.text
        assert "name one by registry.id and it is attached" in why[0]
        assert "Traceback" not in preview.text
        configure(project, registry={"mode": "workspace", "id": registry.id}, workspace={"id": theirs})
        with standing(project) as outputs:
            assert outputs["registry"]["id"] == registry.id
            assert cloud.ask("GET", theirs).json()["properties"]["containerRegistry"] == registry.id
        # From now on it is found: no id is needed, and another one is refused.
        configure(project, registry={"mode": "workspace", "id": other.id}, workspace={"id": theirs})
        refused = project.preview()
        assert refused.code != 0
        assert any(f'registry.id = "{other.id}": the workspace has another registry' in line for line in told(refused))
        configure(project, registry={"mode": "workspace"}, workspace={"id": theirs})
        with standing(project) as outputs:
            assert outputs["registry"]["id"] == registry.id


def test_a_standalone_registry_of_another_subscription_is_found_by_its_login_server(
    project: Project, cloud: Cloud, theirs: str
) -> None:
    every = [each["id"] for each in cloud.ask("GET", "/subscriptions").json()["value"]]
    (elsewhere,) = [id_ for id_ in every if id_ != cloud.subscription]
    with registry_of_its_own(cloud, elsewhere) as registry:
        sections = {
            "registry": {"mode": "standalone", "loginServer": registry.login_server},
            "workspace": {"id": theirs},
        }
        configure(project, **sections)
        with standing(project) as outputs:
            assert outputs["registry"]["id"] == registry.id
            role = project.resource(ROLE)
            assert role["outputs"]["scope"] == registry.id
            assert role["outputs"]["principalId"] == outputs["principal"]["principalId"]
            pulls = project.resource(OWN_ROLE)
            assert pulls["outputs"]["scope"] == registry.id
            assert pulls["outputs"]["principalId"] == project.resource(ENDPOINT)["outputs"]["principalId"]
            cloud.tell("reset-stats")
            again = project.up()
            assert again.code == 0, again.text
            assert json.loads(cloud.tell("stats")) == {"writes": {}, "builds": 0, "uploads": 0}
            # An endpoint cannot move. The new one of the same name has another identity, and the role the same name.
            configure(project, location="northeurope", **sections)
            moved = project.up()
            assert moved.code == 0, moved.text
            principal = project.resource(ENDPOINT)["outputs"]["principalId"]
            assert principal != pulls["outputs"]["principalId"]
            anew = project.resource(OWN_ROLE)
            assert (anew["id"], anew["outputs"]["principalId"]) == (pulls["id"], principal)
            assert answer(project.outputs()) == REPLY
        assert cloud.ask("GET", registry.id).is_success, "destroy took a registry that it had not made"


def test_an_unknown_login_server_is_told_in_one_line(project: Project, theirs: str) -> None:
    configure(project, registry={"mode": "standalone", "loginServer": "nobody.azurecr.io"}, workspace={"id": theirs})
    preview = project.preview()
    assert preview.code != 0
    assert [line for line in told(preview) if 'registry.loginServer = "nobody.azurecr.io"' in line], preview.text
    assert "Traceback" not in preview.text


def test_an_abac_registry_is_read_by_the_repository_reader_role(project: Project, cloud: Cloud, theirs: str) -> None:
    with registry_of_its_own(cloud, roleAssignmentMode="AbacRepositoryPermissions") as registry:
        reference = shelve(registry, project, REPOSITORY_WRITER)
        configure(
            project,
            registry={"mode": "standalone", "id": registry.id, "roleAssignmentMode": "abac"},
            workspace={"id": theirs},
            image={"reference": reference},
        )
        with standing(project) as outputs:
            assert outputs["image"] == reference
            for kind in (ROLE, OWN_ROLE):
                assert project.resource(kind)["outputs"]["roleDefinitionId"].endswith(REPOSITORY_READER)


def test_a_user_assigned_identity_pulls_without_any_password(project: Project, theirs: str) -> None:
    configure(
        project,
        registry={"mode": "standalone"},
        principal={"kind": "managed-identity"},
        workspace={"id": theirs},
    )
    with standing(project) as outputs:
        assert CONNECTION not in _types(project)
        assert project.resource(ROLE, "-identity-role")["outputs"]["principalId"] == outputs["principal"]["principalId"]


def test_an_existing_identity_pulls_and_a_role_that_it_has_is_left_alone(
    project: Project, cloud: Cloud, theirs: str
) -> None:
    group = theirs.partition("/providers/")[0]
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
    principal = cloud.put(identity, {"location": "westeurope"})["properties"]["principalId"]
    with registry_of_its_own(cloud) as registry:
        reference = shelve(registry, project)
        held = assign(cloud, registry.id, principal, PULL)
        configure(
            project,
            registry={"mode": "standalone", "id": registry.id},
            principal={"kind": "none"},
            workspace={"id": theirs},
            image={"reference": reference},
            endpoint={"identity": identity},
        )
        with standing(project) as outputs:
            assert outputs["image"] == reference
            assert project.resource(OWN_ROLE, "-registry-role")["id"].lower() == held.lower()
            reader = project.resource(OWN_ROLE, "-storage-role")
            assert reader["outputs"]["roleDefinitionId"].endswith(STORAGE_READER)
            assert reader["outputs"]["principalId"] == principal
            assert not {ROLE, CONNECTION} & set(_types(project))
        assert cloud.ask("GET", held).is_success, "destroy took a role that it had not assigned"
        assert cloud.ask("GET", reader["id"]).status_code == 404
        assert cloud.ask("GET", identity).is_success


def test_a_public_registry_is_read_by_nobody_in_particular(project: Project, cloud: Cloud, theirs: str) -> None:
    with registry_of_its_own(cloud, anonymousPullEnabled=True) as registry:
        reference = shelve(registry, project)
        configure(
            project,
            registry={"mode": "public"},
            workspace={"id": theirs},
            image={"reference": f"{registry.login_server}/served:one"},
        )
        with standing(project) as outputs:
            assert outputs["image"] == reference
            assert not {ROLE, OWN_ROLE, CONNECTION} & set(_types(project))


def test_images_of_any_private_registry_are_imported_with_a_secret_password(project: Project, cloud: Cloud) -> None:
    with (
        registry_of_its_own(cloud, adminUserEnabled=True) as registry,
        registry_of_its_own(cloud) as own,
        workspace(cloud) as theirs,
    ):
        admin = registry.post("listCredentials").json()
        password = admin["passwords"][0]["value"]
        there = {"mode": "private", "address": registry.login_server, "username": admin["username"], "id": own.id}
        old = shelve(registry, project, tag="latest")
        image = f"{registry.login_server}/served"
        configure(project, registry=there, workspace={"id": theirs}, image={"reference": image})
        project.edit("Pulumi.local.yaml", "    mode: private", f"    mode: private\n    password: {password}")
        plain = project.preview()
        assert plain.code != 0
        assert [line for line in told(plain) if "registry.password" in line and "plain text" in line], plain.text
        assert password not in plain.text
        _set_password(project, "the-wrong-one")
        refused = project.preview()
        assert refused.code != 0
        assert any(registry.login_server in line and "check registry.username" in line for line in told(refused))
        assert "the-wrong-one" not in refused.text
        _set_password(project, password)
        preview = project.preview()
        assert f"{image}: Azure ML pulls with no credentials of another registry; the image is imported" in preview.text
        with standing(project) as outputs:
            assert outputs["image"] == _in(own, old)
            assert cloud.ask("GET", theirs).json()["properties"]["containerRegistry"] == own.id
            assert not {ROLE, OWN_ROLE} & set(_types(project))
            assert project.resource(CONNECTION)["outputs"]["properties"]["target"] == registry.login_server
            _nowhere(project, password)
            new = _a_moved_tag_is_told_and_not_deployed(project, cloud, registry, old)
            # The digest behind the tag takes the move; the password now comes from a vault, which must let us read it.
            held = _vault(cloud, password)
            accepted = f"{registry.login_server}/served:latest@{new.rpartition('@')[2]}"
            configure(
                project,
                registry={**there, "passwordSecret": held},
                workspace={"id": theirs},
                image={"reference": accepted},
            )
            denied = project.preview()
            assert denied.code != 0
            assert [line for line in told(denied) if held in line and "Key Vault Secrets User" in line], denied.text
            _allow(cloud)
            taken = project.up()
            assert taken.code == 0, taken.text
            assert "was moved" not in taken.text
            assert project.outputs()["image"] == _in(own, new)
            assert answer(project.outputs()) == {"served": "anew"}
            assert "azure-native:keyvault:Secret" not in _types(project)
            _nowhere(project, password)


def _a_moved_tag_is_told_and_not_deployed(project: Project, cloud: Cloud, registry: LocalRegistry, old: str) -> str:
    """Move the tag: preview, `up` and refresh tell of it, and the old image stays; the new one's name."""
    project.edit("app/server.py", "{'served': True}", "{'served': 'anew'}")
    new = shelve(registry, project, tag="latest")
    assert new != old
    cloud.tell("reset-stats")
    name, before, after = f"{registry.login_server}/served:latest", old.rpartition("@")[2], new.rpartition("@")[2]
    moved = f"{name} was moved from {before} to {after}; {before} stays deployed; to take the new one, write {name}@"
    for run in (project.preview(), project.up()):
        assert run.code == 0, run.text
        assert [line for line in told(run) if moved in line], run.text
        assert is_printed("moved-tag.txt", run.text)
        assert [line for line in told(run) if "AML-IMG-010" in line and f"{name} as it is now" in line], run.text
    assert json.loads(cloud.tell("stats"))["writes"] == {}
    refreshed = project.pulumi("refresh", "--yes", "--skip-preview", "--diff", "--stack", project.stack)
    assert re.search(rf"movedTo.*{after}", refreshed.text), refreshed.text
    assert is_printed("moved-tag-refresh.txt", refreshed.text)
    assert project.outputs()["image"].rpartition("@")[2] == before
    assert answer(project.outputs()) == {"served": True}
    return new


def _in(registry: LocalRegistry, image: str) -> str:
    """The image's name in another registry."""
    return f"{registry.login_server}/{image.partition('/')[2]}"


def _vault(cloud: Cloud, password: str) -> str:
    """ServicePrincipal's vault, with the password in it; the secret's id. The deployer may not read it."""
    name = f"held{uuid.uuid4().hex[:12]}"
    group = f"{cloud.subscription}/resourceGroups/{name}"
    cloud.put(group, {"location": "westeurope"})
    access = {"tenantId": cloud.environment["ARM_TENANT_ID"], "sku": {"family": "A", "name": "standard"}}
    vault = f"{group}/providers/Microsoft.KeyVault/vaults/{name}"
    made = cloud.put(vault, {"location": "westeurope", "properties": {**access, "enableRbacAuthorization": True}})
    cloud.put(f"{vault}/secrets/pull", {"properties": {"value": password}})
    return f"{made['properties']['vaultUri']}secrets/pull"


def _allow(cloud: Cloud) -> None:
    """Let the deployer read the secrets of all vaults."""
    claims = jwt.decode(cloud.token(), options={"verify_signature": False})
    path = f"{cloud.subscription}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    definition = f"{cloud.subscription}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"
    properties = {"principalId": claims["oid"], "roleDefinitionId": definition, "principalType": "ServicePrincipal"}
    cloud.put(path, {"properties": properties})


def _nowhere(project: Project, password: str) -> None:
    files = [*project.folder.glob("*.yaml"), *(project.folder / ".local").rglob("*")]
    assert not [file for file in files if file.is_file() and password.encode() in file.read_bytes()]


def _set_password(project: Project, password: str) -> None:
    run = project.pulumi(
        "config", "set", "--secret", "--path", "scoring:registry.password", password, "--stack", project.stack
    )
    assert run.code == 0, run.text
