"""How strict a local Azure is where a program may need time to become as strict: set at its start.

Each option is a flag of `python -m emulator serve` and an environment variable (`LOCAL_AZURE_ROLE_DELAY=0`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


def _option(default: object, text: str, *choices: str) -> Any:  # noqa: ANN401 - a dataclass field
    return field(default=default, metadata={"text": text, "choices": choices})


@dataclass(frozen=True)
class Options:
    """The options, each with its default."""

    conda_answers: str = _option(
        "json",
        "how an environment's condaFile is answered: as JSON, or '' for none; or as it was written",
        "json",
        "verbatim",
    )
    registry_tls: str = _option(
        "off",
        "whether registries, as on Azure, answer https with /acr/v1 (docker then uses it too, which is slower)",
        "off",
        "on",
    )
    role_delay: float = _option(5.0, "seconds until a new role assignment takes effect; on Azure up to ten minutes")
    mlflow_base: str = _option(
        "azureml-scoring-base:bookworm",
        "base image of MLflow models that are served without code; on Azure it is Microsoft's own",
    )
    page_size: int = _option(100, "items on a page of a list")
    record: str = _option(
        "", "a file that gets each ARM request and its answer as a line of JSON, secrets in plain text: for tests"
    )


def read(flags: Mapping[str, str | None], variables: Mapping[str, str] = os.environ) -> Options:
    """The options of flags, else of environment variables, else the defaults (`ValueError`: one line)."""
    chosen: dict[str, Any] = {}
    for each in fields(Options):
        variable = f"LOCAL_AZURE_{each.name.upper()}"
        value = flags.get(each.name) or variables.get(variable)
        if not value:
            continue
        source = f"{variable} or --{each.name.replace('_', '-')}"
        choices = each.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"{source} is '{value}': none of {', '.join(choices)}")
        try:
            chosen[each.name] = type(getattr(Options, each.name))(value)
        except ValueError:
            raise ValueError(f"{source} is '{value}': not a number") from None
    return Options(**chosen)
