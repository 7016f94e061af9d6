"""Settings of a rollout: what a version must show before it serves, and who must agree."""

from typing import Annotated, Literal

from pydantic import Field

from azureml_scoring.settings import rules
from azureml_scoring.settings.endpoint import TRAFFIC
from azureml_scoring.settings.section import Arm, LocalPath, Section


class CheckSettings(Section):
    """A request, and the reply that a good version gives to it."""

    request: LocalPath
    """File with the request, JSON."""
    reply: LocalPath
    """File with the reply that is expected, JSON."""


class RolloutSettings(Section):
    """What a version must show before it serves."""

    checks: Annotated[
        list[CheckSettings], Arm(TRAFFIC, argument="checks", encode=list, encoded=list[CheckSettings])
    ] = []
    """Requests that a deployment is sent before traffic shifts to it, and its replies. A version that has served is not
    compared again, so that traffic can go back to it whatever is expected by now; it must answer with 2xx."""
    tolerance: Annotated[float, Field(ge=0, le=1), rules.NotBool, Arm(TRAFFIC, argument="tolerance")] = 0.00001
    """How far numbers of a reply may be off, relative to the larger one."""
    approval: Literal["required", "none"] = "none"
    """Whether a person must approve before `azureml-scoring rollout` changes this stack."""
