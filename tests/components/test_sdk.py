"""Claims about the program side, with Pulumi's mocks."""

import subprocess
import sys
from typing import Any

import pulumi
import pytest
from azureml_scoring import sdk as program
from azureml_scoring.provider.registry import RESOURCES
from azureml_scoring.settings.arguments import EndpointTrafficArgs, ImageBuildArgs
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from tests.provider.fake_azure import ENDPOINT, REGISTRY


class Echo(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        outputs = {"image": "host/repo@sha256:1", "runId": "ca1", "durationSeconds": 2.0}
        return f"{args.name}-id", {**args.inputs, **(outputs if args.typ.endswith("ImageBuild") else {})}

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:  # noqa: ARG002
        return {}, None


@pytest.mark.parametrize("token", sorted(RESOURCES))
def test_a_program_and_the_provider_share_one_class_of_arguments(token: str) -> None:
    resource = RESOURCES[token]
    assert getattr(program, f"{resource.name}Args") is resource.inputs


@pytest.mark.parametrize("token", sorted(RESOURCES))
def test_every_output_can_be_read_in_python(token: str) -> None:
    resource = RESOURCES[token]
    readable = {name for name, each in vars(getattr(program, resource.name)).items() if isinstance(each, program.Out)}
    assert set(resource.outputs.model_fields) <= readable


# Pulumi's decorator asks for the thread's loop; from Python 3.12 on that warns.
@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
@pulumi.runtime.test  # type: ignore[untyped-decorator]
def test_properties_travel_in_camel_case_and_come_back_as_attributes() -> pulumi.Output[None]:
    pulumi.runtime.set_mocks(Echo())
    image = program.ImageBuild(
        "image",
        ImageBuildArgs(
            registry_id=REGISTRY,
            login_server="l",
            repository="p",
            content_key="c" * 12,
            context="c",
            build_arguments={"A": "b"},
        ),
    )
    split = program.EndpointTraffic("t", EndpointTrafficArgs(endpoint_id=ENDPOINT, traffic={"blue": 100}))

    def check(values: list[Any]) -> None:
        assert values == ["host/repo@sha256:1", "ca1", 2.0, {"blue": 100}, "image-id"]
        assert isinstance(values[3]["blue"], int)

    return pulumi.Output.all(image.image, image.run_id, image.duration_seconds, split.traffic, image.id).apply(check)


def test_a_program_loads_neither_azure_nor_docker() -> None:
    code = "import sys, azureml_scoring.sdk; print(*(m for m in sys.modules if m.split('.')[0] in ('azure', 'docker')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == ""
