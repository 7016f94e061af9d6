"""Reading of `Pulumi.STACK.yaml`: the values below `scoring:`, checked before any provider is called.

Refuses to own fields and rules (the rest of `settings/`).
https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pulumi
import yaml

from azureml_scoring.settings.errors import HIDDEN, SettingsError, error_line
from azureml_scoring.settings.parsing import parse as parse_section
from azureml_scoring.settings.section import Section, section_of
from azureml_scoring.settings.stack import StackSettings

NAMESPACE: Final = "scoring"
PREFIX: Final = f"{NAMESPACE}:"
_PLAIN_TEXT: Final = "it is in plain text; change it where it came from, then `pulumi config set --secret --path {}`"
_READABLE: Final = (
    "it is sealed, but whoever reads the image or Azure reads it; only image.buildSecrets and passwords stay secret"
)


def load(root: Path) -> StackSettings:
    """Read the selected stack's config from Pulumi; paths are seen from the project's root."""
    settings = parse(_config())
    for path in _sealed(root):
        _demand_secret(path)
    if settings.registry.password is not None:
        _demand_sealed("registry.password")
    images = {"image": settings.image}
    images |= {f"deployments.{name}.image": each.image for name, each in settings.deployments.items()}
    for section, image in images.items():
        for name in (image and image.build_secrets) or {}:
            _demand_sealed(f"{section}.buildSecrets.{name}")
    return settings.rooted(root)


def parse(values: Mapping[str, Any]) -> StackSettings:
    """Check each value of config that is read already; raise a `SettingsError` with one line for each problem."""
    return parse_section(StackSettings, values, PREFIX, file=True)


def prefixed(error: SettingsError) -> SettingsError:
    """Name the fields of an error as a stack file does."""
    return SettingsError("\n".join(f"{PREFIX}{line}" for line in str(error).splitlines()))


def _demand_secret(path: list[str]) -> None:
    """Refuse a sealed value where a field is no secret: it would be read in the image, in Azure or in the state."""
    model: type[Section] | None = StackSettings
    for part in path:
        field = next((each for each in (model.model_fields if model else {}).values() if each.alias == part), None)
        if field is not None:
            if "SecretStr" in str(field):
                return
            model = section_of(field.annotation)
    raise SettingsError(error_line(f"{PREFIX}{'.'.join(path)}", HIDDEN, _READABLE))


def _sealed(root: Path) -> Iterator[list[str]]:
    """Return where the stack file has sealed values, inside its sections; a section may be sealed as a whole."""
    file = root / f"Pulumi.{pulumi.get_stack()}.yaml"
    config = (yaml.safe_load(file.read_text("utf-8")) or {}).get("config") if file.is_file() else None
    for key, section in (config or {}).items():
        if key.startswith(PREFIX) and not _is_sealed(section):
            yield from ([key.removeprefix(PREFIX), *path] for path in _sealed_paths(section))


def _sealed_paths(node: object) -> Iterator[list[str]]:
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from ([str(key), *path] for path in ([[]] if _is_sealed(value) else _sealed_paths(value)))


def _is_sealed(node: object) -> bool:
    return isinstance(node, dict) and set(node) == {"secure"}


def _demand_sealed(path: str) -> None:
    """Refuse a secret in plain text; Pulumi only tells whether anything in a section is sealed."""
    field = f"{PREFIX}{path}"
    if not pulumi.runtime.is_config_secret(field.partition(".")[0]):
        raise SettingsError(error_line(field, HIDDEN, _PLAIN_TEXT.format(field)))


def _config() -> dict[str, Any]:
    """Collect this project's part of the stack's config, with nested values read."""
    every: Mapping[str, str] = pulumi.runtime.get_config_env()
    names = {key: key.removeprefix(PREFIX) for key in every if key.startswith(PREFIX)}
    return {name: _read(name, every[key]) for key, name in names.items()}


def _read(name: str, text: str) -> Any:  # noqa: ANN401 - JSON
    """Read a section; a plain text (such as the location) stays one."""
    field = next((field for field in StackSettings.model_fields.values() if field.alias == name), None)
    if field is not None and field.annotation is str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
