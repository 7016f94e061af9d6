"""Each field of the settings, taken from the sections themselves: it is described, it is sent, it comes back."""

from collections.abc import Iterator
from typing import Any

import pytest
from azureml_scoring.provider.framework import Resource
from azureml_scoring.provider.registry import RESOURCES
from azureml_scoring.settings.at import At
from azureml_scoring.settings.registry import RegistryLogin
from azureml_scoring.settings.section import Arm, Section, arguments, arm_fields, description, marker, section_of
from azureml_scoring.settings.stack import StackSettings
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from tests.provider.fake_azure import ENDPOINT, ENVIRONMENT, WORKSPACE, FakeAzure
from tests.settings.values import value_of


def sections(model: type[Section] = StackSettings) -> dict[str, type[Section]]:
    """Every section of a stack file by name."""
    below = [each for field in model.model_fields.values() if (each := section_of(field.annotation)) is not None]
    return {model.__name__: model}.__or__({name: each for part in below for name, each in sections(part).items()})


SECTIONS = sections()
FIELDS = [(section, name) for section, model in SECTIONS.items() for name in model.model_fields]
OWN = {resource.name: resource for resource in RESOURCES.values()}
SENT = [
    pytest.param(OWN[arm.resource], section, path, id=f"{section}.{path}")
    for section, model in SECTIONS.items()
    for resource in OWN
    for path, _, arm in arm_fields(model, resource)
    if arm.places and "." not in path
]
"""Fields that an own resource sends to Azure."""
BASE: dict[str, dict[str, Any]] = {
    "OnlineEndpoint": {"workspaceId": WORKSPACE, "endpointName": "scoring", "location": "westeurope"},
    "OnlineDeployment": {
        "endpointId": ENDPOINT,
        "deploymentName": "blue",
        "location": "westeurope",
        "environmentId": ENVIRONMENT,
    },
    "EnvironmentVersion": {
        "workspaceId": WORKSPACE,
        "environmentName": "app",
        "version": "1",
        "image": f"a.io/b@sha256:{'a' * 64}",
    },
    "EndpointTraffic": {"endpointId": ENDPOINT, "traffic": {"blue": 100}},
}


@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_every_field_says_what_it_is(section: str, name: str) -> None:
    assert description(SECTIONS[section], name).endswith((".", "…"))


@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_every_field_takes_a_value_and_gives_it_back(section: str, name: str) -> None:
    model = SECTIONS[section]
    field, needed = model.model_fields[name], {}
    for other, each in model.model_fields.items():
        if other == name or each.is_required():
            needed[each.alias] = value_of(each)
    written = At.root(model.model_validate(needed, by_alias=True, by_name=False), section)
    assert getattr(written, name).path_ == f"{section}.{field.alias}"
    assert bool(getattr(written, name))
    assert getattr(written, name)() != field.default


@pytest.mark.parametrize(("resource", "section", "name"), SENT)
def test_what_a_field_says_is_sent_comes_back_and_shows_no_difference(
    resource: Resource[Any], section: str, name: str
) -> None:
    model = SECTIONS[section]
    field = model.model_fields[name]
    arm = _arm(field)
    needed = {each.alias: value_of(each) for each in model.model_fields.values() if each.is_required()}
    settings = model.model_validate({**needed, field.alias: value_of(field)})
    values = {to_camel(key): value for key, value in arguments(settings, resource.name).items()}
    assert values[arm.argument] == arm.value(getattr(settings, name)), "the resource does not get it"
    inputs = _inputs(resource, values)
    azure, news = _azure(resource), resource.check(inputs)
    assert not news.failures
    id_, state = resource.create(azure.context(), news.inputs)
    document = azure.of("PUT")[-1].body
    for place in arm.places:
        assert _parts(_at(document, place)) >= _parts(inputs[arm.argument]), f"{place} is not sent"
    read = resource.read(azure.context(), id_, state, news.inputs)
    assert read is not None
    assert not resource.diff(id_, read.state, news.inputs).changed, "it does not come back as it was sent"
    _set(azure.documents[_document(resource, id_)], arm.places[0], _other(_at(document, arm.places[0])))
    drifted = resource.read(azure.context(), id_, state, news.inputs)
    assert drifted is not None
    assert resource.diff(id_, drifted.state, news.inputs).changed == {arm.argument}, "drift of it is not seen"


def test_every_section_is_in_the_test() -> None:
    assert RegistryLogin.__name__ not in SECTIONS, "it comes from other fields"
    assert len(SENT) > 15
    assert {arm.resource for *_, arm in _all_places()} >= set(BASE)


def _all_places() -> Iterator[tuple[str, str, Arm]]:
    for section, name in FIELDS:
        if (arm := marker(SECTIONS[section].model_fields[name], Arm)) is not None:
            yield section, name, arm


def _arm(field: FieldInfo) -> Arm:
    arm = marker(field, Arm)
    assert arm is not None
    return arm


def _inputs(resource: Resource[Any], values: dict[str, Any]) -> dict[str, Any]:
    """The least that a resource needs, and the values; what only one endpoint kind has makes it of that kind."""
    inputs = {**BASE[resource.name], **values}
    if resource.name == "OnlineDeployment":
        kubernetes = {"scaleSettings", "containerResourceRequirements"} & values.keys()
        inputs |= {"kind": "Kubernetes"} if kubernetes else {"instanceType": "Standard_DS4_v2"}
    if resource.name == "EndpointTraffic":
        inputs["traffic"] = {"blue": 100}
        mirror = inputs.get("mirrorTraffic") or {}
        inputs["mirrorTraffic"] = dict.fromkeys(["green"][: len(mirror)], 10)
    return inputs


def _azure(resource: Resource[Any]) -> FakeAzure:
    azure = FakeAzure()
    if resource.name in {"OnlineDeployment", "EndpointTraffic"}:
        OWN["OnlineEndpoint"].create(azure.context(), BASE["OnlineEndpoint"])
    if resource.name == "EndpointTraffic":
        for name in ("blue", "green"):
            deployment = {**BASE["OnlineDeployment"], "deploymentName": name, "instanceType": "Standard_DS3_v2"}
            OWN["OnlineDeployment"].create(azure.context(), deployment)
    return azure


def _document(resource: Resource[Any], id_: str) -> str:
    return id_.removesuffix("/traffic") if resource.name == "EndpointTraffic" else id_


def _at(document: Any, place: str) -> Any:  # noqa: ANN401 - JSON
    for part in place.split("."):
        document = document[part]
    return document


def _set(document: dict[str, Any], place: str, value: object) -> None:
    *parents, last = place.split(".")
    for parent in parents:
        document = document[parent]
    document[last] = value


def _parts(value: object, place: str = "") -> set[tuple[str, str]]:
    """The leaves of a value, so that one may hold more than another."""
    if isinstance(value, dict):
        return {leaf for name, each in value.items() for leaf in _parts(each, f"{place}.{name}")}
    return {(place, str(value))}


def _other(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Change a value as somebody behind the program's back would."""
    if isinstance(value, dict):
        return {name: each if name == "scaleType" else _other(each) for name, each in value.items()}
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}x" if isinstance(value, str) else [*value, "x"]
