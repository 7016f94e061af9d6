"""Whether a stack can be made where it is about to be: every look at Azure, a line each with its remedy.

Owns which subscription is meant, the order of the checks, and how they are shown. Refuses to own the checks
(`provider/readiness.py`) and what a stack needs (`plan/needs.py`). Changes nothing.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import yaml

from azureml_scoring.delivery.engine import Log, config_of
from azureml_scoring.errors import CommandError, ExitCode
from azureml_scoring.plan.names import ArmId, Names
from azureml_scoring.plan.needs import Needs, plan_needs
from azureml_scoring.plan.stack import plan_file
from azureml_scoring.provider.arm import ML_API, Arm, connect
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.lookup import registry_at
from azureml_scoring.provider.readiness import Finding, checks
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.stack import StackSettings

_PART: Final = "scoring"
"""Name of the component that the program makes: names are made from it."""


class DoctorError(CommandError):
    """The stack cannot be looked at: one line."""


def doctor(project: Path, stack: str, log: Log, *, as_json: bool = False, arm: Callable[[], Arm] = connect) -> ExitCode:
    """Look at everything, log a line for each finding as soon as it is known, and say how it ended."""
    document = _stack_file(project, stack)
    try:
        settings, _ = plan_file(config_of(document), project)
    except SettingsError as error:
        raise DoctorError(str(error)) from None
    names = Names(_project_name(project), stack.rpartition("/")[2], _PART, settings.name_seed)
    findings = []
    for check, finding in _findings(document, settings, names, arm):
        findings.append({"check": check, **asdict(finding)})
        if not as_json:
            log(_line(check, finding))
    counts = Counter(each["status"] for each in findings)
    ending = "nothing found that stands in its way" if counts["ok"] else "nothing could be looked at"
    ending = f"{counts['wrong']} to put right" if counts["wrong"] else ending
    log(json.dumps({"stack": stack, "findings": findings}, indent=2) if as_json else f"Stack {stack}: {ending}.")
    return ExitCode.FAILED if counts["wrong"] or not counts["ok"] else ExitCode.OK


def _findings(
    document: Mapping[str, Any], settings: StackSettings, names: Names, arm: Callable[[], Arm]
) -> Iterator[tuple[str, Finding]]:
    """Check by check; without a sign-in, that is the only finding."""
    try:
        client, subscription = arm(), _subscription(document, settings)
        client.token()
        needs = _needs(client, settings, names, subscription)
    except ResourceError as error:
        yield "signed in", Finding("wrong", str(error))
        return
    for check in checks(client, subscription, needs):
        for finding in check.findings():
            yield check.title, finding


def _line(check: str, finding: Finding) -> str:
    return f"{finding.status:<8} {check:<10} {finding}"


def _needs(arm: Arm, settings: StackSettings, names: Names, subscription: str) -> Needs:
    """Complete what the settings say with the registry that they name by its address, or by its workspace."""
    registry, workspace = settings.registry, settings.workspace.id
    if registry.login_server:
        return plan_needs(settings, names, subscription, registry_at(arm, registry.login_server))
    if registry.mode in {"workspace", "private"} and workspace and not registry.id:
        document = arm.get(workspace, ML_API) or {}
        registry_id = str((document.get("properties") or {}).get("containerRegistry") or "")
        return plan_needs(settings, names, subscription, registry_id)
    return plan_needs(settings, names, subscription)


def _stack_file(project: Path, stack: str) -> dict[str, Any]:
    file = project / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise DoctorError(
            f"{file.name} does not exist; run `pulumi stack init {stack}` and write its settings there"
        ) from None
    except yaml.YAMLError as error:
        raise DoctorError(f"{file.name} is no YAML: {error}") from None


def _project_name(project: Path) -> str:
    return str(yaml.safe_load((project / "Pulumi.yaml").read_text(encoding="utf-8"))["name"])


def _subscription(document: Mapping[str, Any], settings: StackSettings) -> str:
    """Return the subscription as azure-native chooses it: the environment's, the stack's, the Azure CLI's.

    https://www.pulumi.com/registry/packages/azure-native/installation-configuration/
    """
    configured = (document.get("config") or {}).get("azure-native:subscriptionId")
    adopted = settings.workspace.id and ArmId.parse(settings.workspace.id).subscription
    subscription = os.environ.get("ARM_SUBSCRIPTION_ID") or configured or adopted or _cli_subscription()
    if not subscription:
        raise DoctorError("no subscription is chosen; set ARM_SUBSCRIPTION_ID, or run `az account set --subscription`")
    return str(subscription)


def _cli_subscription() -> str:
    command = ["az", "account", "show", "--query", "id", "--output", "tsv"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
