"""Turns the YAML of an endpoint into the section `endpoint`. Owns what each of its fields becomes. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

from azureml_scoring.convert.reading import ConvertError, Part
from azureml_scoring.settings.regions import short_form

READ_ONLY: Final = ("id", "provisioning_state", "scoring_uri", "openapi_uri", "kind", "creation_context")
"""Fields that Azure fills in: `az ml … show` prints them, and `create` ignores them."""
_AUTH: Final = {"key": "key", "amltoken": "aml-token", "aadtoken": "aad-token"}
_SECRETS: Final = "enforce_access_to_default_secret_stores"


@dataclass
class Endpoint:
    """An endpoint, as its file says."""

    section: dict[str, Any] = field(default_factory=dict)
    location: str = ""


def read_endpoint(part: Part) -> Endpoint:
    """Read an endpoint's file whole."""
    part.skip("$schema", *READ_ONLY)
    section: dict[str, Any] = {"name": part.text("name"), "auth": _auth(part)}
    if description := part.text("description"):
        section["description"] = description
    if tags := part.texts("tags"):
        section["tags"] = tags
    _compute(part, section)
    _identity(part.part("identity"), section)
    _properties(part.part("properties"), section)
    if (is_public := switch(part, "public_network_access")) is not None:
        section["publicNetworkAccess"] = is_public
    for old, new in (("traffic", "traffic"), ("mirror_traffic", "mirror")):
        if shares := {name: int(share) for name, share in part.numbers(old).items() if share}:
            section[new] = shares
    location = short_form(part.text("location"))
    part.end()
    return Endpoint(section, location)


def switch(part: Part, key: str) -> bool | None:
    """Read `enabled` or `disabled`."""
    value = part.text(key).lower()
    if value not in {"", "enabled", "disabled"}:
        raise ConvertError(f"{part.name(key)} = {value}: write enabled or disabled")
    return value == "enabled" if value else None


def _auth(part: Part) -> str:
    mode = part.text("auth_mode")
    auth = _AUTH.get(mode.lower().replace("_", "") or "key")
    if auth is None:
        raise ConvertError(f"{part.name('auth_mode')} = {mode}: write key, aml_token or aad_token")
    return auth


def _compute(part: Part, section: dict[str, Any]) -> None:
    if compute := part.text("compute"):
        section |= {"kind": "kubernetes", "compute": compute.removeprefix("azureml:")}


def _identity(part: Part, section: dict[str, Any]) -> None:
    kind = part.text("type").lower().replace("_", "")
    part.skip("principal_id", "tenant_id")
    identities = [each.get("resource_id") for each in part.take("user_assigned_identities") or [] if each]
    if kind == "userassigned" and identities:
        section["identity"] = identities[0]
    elif kind not in {"", "systemassigned"}:
        part.note("changed", "type", "an endpoint has an identity of its own, which pulls the image", kind)
    part.end()


def _properties(part: Part, section: dict[str, Any]) -> None:
    if part.text(_SECRETS).lower() in {"enabled", "true"}:
        section["enforceAccessToDefaultSecretStores"] = True
    part.drop(*list(part.rest), reason="Azure reserves properties for itself; use tags")
