"""Properties Python values from and to the SDK's property values.

Owns: the one sentinel for unknown values, which properties are secret, and both directions of the conversion.
Refuses to own: what any property means.

The SDK has a `Computed` value but can neither write nor read it on the wire (its `marshal` raises, its `unmarshal`
returns the engine's marker as an ordinary string): both are read here, only the marker is written. Nor can `unmarshal`
read an output value that leaves out its parts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN as MARKER

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_OUTPUT_VALUE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
"""How the engine marks an output value (`SigKey` and `OutputValueSig` of Pulumi's `sdk/go/common/resource`)."""


class Unknown(Enum):
    """The type of `UNKNOWN`: an enum with one member, so that `is` and type narrowing both work."""

    UNKNOWN = "a value that is only known after the update"


UNKNOWN = Unknown.UNKNOWN
"""Stands in a plain dict where a value is only known after the update."""

Properties = dict[str, Any]
"""Properties by camelCase name: str, int, float, bool, None, list, dict, or UNKNOWN, at any depth."""


@dataclass(frozen=True)
class DecodedProperties:
    """Properties as plain values, and the names of those that are, or contain, a secret."""

    values: Properties
    secrets: frozenset[str] = field(default_factory=frozenset)


def from_property_values(properties: Mapping[str, PropertyValue]) -> DecodedProperties:
    """Turn the SDK's properties into plain values; whole numbers become ints, `__`-names of the engine are left out."""
    own = {name: value for name, value in properties.items() if not name.startswith("__")}
    return DecodedProperties(
        {name: _decoded(value) for name, value in own.items()},
        frozenset(name for name, value in own.items() if value.contains_secret()),
    )


def to_property_values(values: Mapping[str, Any], secrets: Iterable[str] = ()) -> dict[str, PropertyValue]:
    """Turn plain values into the SDK's properties; a property named in `secrets` is secret as a whole."""
    secret = frozenset(secrets)
    return {name: _encoded(value).with_secret(name in secret) for name, value in values.items() if value is not None}


def has_unknown(value: object) -> bool:
    """Tell whether the value is, or anywhere contains, UNKNOWN."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def completed(inputs: Struct) -> Struct:
    """Spell out what an output value may leave out on the wire: `PropertyValue.unmarshal` of the SDK needs it."""
    for value in inputs.fields.values():
        _complete(value)
    return inputs


def _complete(value: Value) -> None:
    for item in value.list_value.values if value.HasField("list_value") else ():
        _complete(item)
    if not value.HasField("struct_value"):
        return
    fields = value.struct_value.fields
    for item in list(fields.values()):
        _complete(item)
    if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _OUTPUT_VALUE:
        if "value" not in fields:
            fields["value"].string_value = MARKER
        if "secret" not in fields:
            fields["secret"].bool_value = False
        if "dependencies" not in fields:
            fields["dependencies"].list_value.SetInParent()


def _decoded(value: PropertyValue) -> Any:  # noqa: ANN401 - JSON-like values have no narrower type
    raw = value.value
    if isinstance(raw, Computed) or raw == MARKER:
        return UNKNOWN
    if isinstance(raw, bool) or raw is None or isinstance(raw, str):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else raw
    if isinstance(raw, Mapping):
        return {key: _decoded(item) for key, item in raw.items()}
    if isinstance(raw, Sequence):
        return [_decoded(item) for item in raw if isinstance(item, PropertyValue)]
    msg = f"a {type(raw).__name__} is not a property value; use a string, number, list or map"
    raise TypeError(msg)


def _encoded(value: object) -> PropertyValue:
    if value is UNKNOWN:
        return PropertyValue(MARKER)
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return PropertyValue(value)
    if isinstance(value, int):
        return PropertyValue(float(value))
    if isinstance(value, Mapping):
        return PropertyValue({str(key): _encoded(item) for key, item in value.items()})
    if isinstance(value, Sequence):
        return PropertyValue([_encoded(item) for item in value])
    msg = f"a {type(value).__name__} cannot be stored in the stack's state"
    raise TypeError(msg)
