"""The policy pack: passes resources from the engine to the rules. Owns no rule.

`pulumi preview --policy-pack policy`; needs `requirements.txt` in `policy/.venv`.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import yaml
from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from rules import ONE_ROLE, RULES, Resource, Rule, one_role_per_principal, parse_settings, violations  # type: ignore[import-not-found] # the pack's own folder

SETTINGS = parse_settings(yaml.safe_load(Path(__file__).with_name("settings.yaml").read_text(encoding="utf-8")))


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _resource(arguments: ResourceValidationArgs) -> Resource:
    stack = arguments.urn.split("::")[0].removeprefix("urn:pulumi:")
    return Resource(arguments.resource_type, arguments.name, stack, arguments.props)


def _validate(rule: Rule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(arguments: ResourceValidationArgs, report: ReportViolation) -> None:
        for line in violations(rule, _resource(arguments), SETTINGS, _today()):
            report(f"{arguments.name}: {line}")

    return validate


def _validate_stack(arguments: StackValidationArgs, report: ReportViolation) -> None:
    resources = [_resource(each) for each in arguments.resources]
    for name, line in one_role_per_principal(resources, SETTINGS, _today()):
        report(f"{name}: {line}")


PolicyPack(
    name="azureml-scoring",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        *(ResourceValidationPolicy(rule.name, rule.description, _validate(rule)) for rule in RULES),
        StackValidationPolicy(ONE_ROLE, "A principal has one role on registries.", _validate_stack),
    ],
)
