"""What the components share: their inputs are a section of settings, their outputs the annotated attributes.

Owns the type token and the registration of outputs. Refuses to own any resource.
"""

from collections.abc import Awaitable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, cast

import pulumi
from pydantic.alias_generators import to_camel

from azureml_scoring.settings.arguments import PACKAGE
from azureml_scoring.settings.section import Section

Inputs = Mapping[str, Any]
"""Inputs of a component as plain values, by Python's or by the wire's names."""
Options = pulumi.ResourceOptions | None
T = TypeVar("T")


class Component(pulumi.ComponentResource):
    """Base of the components."""

    Args: ClassVar[type[Section]]
    """The section that holds the component's inputs."""

    def __init__(self, name: str, opts: Options) -> None:
        super().__init__(f"{PACKAGE}:index:{type(self).__name__}", name, None, opts)

    @property
    def child(self) -> pulumi.ResourceOptions:
        """Options of a resource below this component."""
        return pulumi.ResourceOptions(parent=self)

    @classmethod
    def output_names(cls) -> Iterator[str]:
        """Name the outputs, in Python's spelling."""
        return (name for name, kind in cls.__annotations__.items() if str(kind).startswith("pulumi.output.Output"))

    def outputs(self) -> dict[str, pulumi.Output[Any]]:
        """Return the outputs by wire name."""
        return {to_camel(name): getattr(self, name) for name in self.output_names()}

    def finish(self) -> None:
        """Register the outputs; the last step of every component."""
        self.register_outputs(self.outputs())


def after(value: pulumi.Output[T], resources: list[pulumi.Resource]) -> pulumi.Output[T]:
    """Return a value whose users wait for resources that it does not come from; previews know it as before.

    `Output.all` would not do: while one of the resources is created, no preview would know the value, and would show
    everything replaced that hangs on it.
    """

    async def together() -> set[pulumi.Resource]:
        return {*await value.resources(), *resources}

    if not resources:
        return value
    known = cast("Awaitable[T]", value.future(with_unknowns=True))
    return pulumi.Output(together(), known, value.is_known(), value.is_secret())
