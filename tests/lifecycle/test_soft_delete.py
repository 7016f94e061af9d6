"""A stack goes down with Contributor's rights alone, and comes up again although Azure keeps what was deleted."""

from collections.abc import Iterator

import pytest

from tests.conftest import Cloud
from tests.modes import REPLY, answer, configure, served, told, workspace
from tests.project import LocalAzure, Project

pytestmark = pytest.mark.slow

VAULT = "azure-native:keyvault:Vault"
SECRET = "azure-native:keyvault:Secret"
WORKSPACE = "azure-native:machinelearningservices:Workspace"
GROUP = "azure-native:resources:ResourceGroup"
PULLING = {"principal": {"kind": "service-principal"}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    return served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))


@pytest.fixture(scope="module")
def theirs(cloud: Cloud) -> Iterator[str]:
    """A workspace outside of the stack."""
    with workspace(cloud) as id_:
        yield id_


def _up(project: Project) -> None:
    run = project.up()
    assert run.code == 0, run.text
    assert answer(project.outputs()) == REPLY


def _down(project: Project) -> None:
    run = project.destroy()
    assert run.code == 0, run.text


def _refused(project: Project) -> list[str]:
    """The lines by which both preview and update are refused, and that nothing was made."""
    project.azure.tell("reset-stats")
    runs = [project.preview(), project.up()]
    assert all(run.code for run in runs)
    assert project.azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}
    lines = [[line.partition("error: ")[2] or line for line in told(run)] for run in runs]
    assert lines[0] == lines[1]
    return lines[0]


def test_a_stack_that_was_taken_down_is_told_which_names_azure_holds_and_comes_up_again(
    project: Project, cloud: Cloud
) -> None:
    configure(project, **PULLING)
    _up(project)
    ids = {type_: project.resource(type_)["id"] for type_ in (VAULT, SECRET, WORKSPACE, GROUP)}
    names = {type_: id_.rpartition("/")[2] for type_, id_ in ids.items()}
    _what_stays_is_refused(project, names)
    configure(project, **PULLING)
    _down(project)

    vault, deleted = _refused(project)
    assert vault.startswith(f'scoring:workspace.vault = "{names[VAULT]}": a deleted vault holds this name until ')
    assert deleted.startswith(
        f'scoring:workspace.name = "{names[WORKSPACE]}": a deleted workspace holds this name for 14 days'
    )

    configure(project, nameSeed="another", **PULLING)
    seeded = project.preview()
    assert seeded.code == 0, seeded.text
    assert f"{names[WORKSPACE]}-" in seeded.text

    configure(project, workspace={"recover": True}, **PULLING)
    assert _refused(project) == [deleted]
    cloud.put(ids[GROUP], {"location": "westeurope"})
    cloud.finish(cloud.ask("DELETE", f"{ids[WORKSPACE]}?api-version=2024-10-01&forceToPurge=true"))
    cloud.finish(cloud.ask("DELETE", ids[GROUP]))
    _up(project)
    assert project.resource(VAULT)["id"] == ids[VAULT]
    assert cloud.ask("GET", ids[SECRET]).is_success, "the vault is not the one that was deleted"
    assert project.resource(SECRET)["id"] != ids[SECRET]
    _down(project)
    project.azure.tell("purge")


def _what_stays_is_refused(project: Project, names: dict[str, str]) -> None:
    """Change what a workspace keeps for its life, one after the other."""
    kept = {name: names[type_] for name, type_ in (("vault", VAULT), ("name", WORKSPACE))}
    for section, field in (({"vault": "another-vault"}, "vault"), ({"name": "renamed"}, "name")):
        configure(project, workspace=section, **PULLING)
        (line,) = _refused(project)
        assert line.startswith(f'scoring:workspace.{field} = "{section[field]}": ')
        assert f"; write {kept[field]}, or take the stack down first" in line
    configure(project, location="northeurope", **PULLING)
    (line,) = _refused(project)
    assert line.startswith('scoring:location = "northeurope": ')


def test_in_a_vault_of_others_the_secret_stays_and_is_in_nobodys_way(
    project: Project, cloud: Cloud, theirs: str
) -> None:
    configure(project, workspace={"id": theirs}, **PULLING)
    _up(project)
    first = project.resource(SECRET)["id"]
    _down(project)
    assert cloud.ask("GET", first).is_success
    _up(project)
    second = project.resource(SECRET)["id"]
    assert second != first
    configure(project, workspace={"id": theirs}, principal={"kind": "managed-identity"})
    _up(project)
    assert cloud.ask("GET", second).is_success
    _down(project)
