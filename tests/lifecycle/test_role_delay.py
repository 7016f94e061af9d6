"""On an Azure where a role takes effect a while after it was assigned, the first deployment waits for it."""

from collections.abc import Iterator

import pytest

from tests.modes import REPLY, answer, configure, push, registry_of_its_own, served, taken_up, workspace
from tests.project import LocalAzure, Project

DELAY = 25


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    with LocalAzure(tmp_path_factory.mktemp("azure"), options=(f"--role-delay={DELAY}",)) as local:
        yield local


def test_a_first_deployment_waits_until_azure_honours_the_roles_of_its_identity(
    tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure
) -> None:
    project, cloud = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)), azure.cloud
    # The deployer's own role is old, and the image lies there already: nothing else takes the time that the role needs.
    login = (cloud.environment["ARM_CLIENT_ID"], cloud.environment["ARM_CLIENT_SECRET"])
    with workspace(cloud) as theirs, registry_of_its_own(cloud) as registry:
        configure(
            project,
            registry={"mode": "standalone", "id": registry.id},
            workspace={"id": theirs},
            image={"reference": push(registry, project, login)},
        )
        with taken_up(project) as run:
            assert "BadArgument: its identity is not let in yet; a new role takes up to 10 minutes" in run.text
            assert answer(project.outputs()) == REPLY
