"""What a preview would change, read from `pulumi preview --json`. Pure; owns no wording.

Both shapes are read: the classic document and the streaming one (one engine event a line,
PULUMI_ENABLE_STREAMING_JSON_PREVIEW). https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Any

from azureml_scoring.delivery.redaction import HIDDEN, alike, redacted

QUIET = {
    "same",
    "read",
    "refresh",
    "read-discard",
    "discard",
    "create-replacement",
    "delete-replaced",
    "remove-pending-replace",
}
"""Operations that change nothing, or that are told by the `replace` beside them."""


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's mark of a value that is known only after the update."""

_PASSWORD = ":ApplicationPassword"  # noqa: S105 - a type's name


class PreviewError(ValueError):
    """The text is no preview; one line that says why."""


class Risk(IntEnum):
    """How a change is ordered: what breaks clients first."""

    DESTRUCTIVE = 0
    TRAFFIC = 1
    IMAGE = 2
    IDENTITY = 3
    NETWORK = 4
    SECRET = 5
    REST = 6


@dataclass(frozen=True)
class PropertyChange:
    """One property that differs; values are already without secrets. `replaces` tells why a replacement happens."""

    path: str
    old: Any
    new: Any
    replaces: bool = False


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    urn: str
    op: str
    properties: tuple[PropertyChange, ...]
    dependencies: tuple[str, ...] = ()
    old: dict[str, Any] = field(default_factory=dict)
    """What is there now, without secrets; only of the kinds in `EXPLAINED`."""
    new: dict[str, Any] = field(default_factory=dict)
    """What there would be, likewise."""

    @property
    def type(self) -> str:
        """The resource's type token, without its parents' types."""
        return _type_of(self.urn)

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return self.urn.split("::", 3)[3]

    @cached_property
    def kind(self) -> str:
        """The last part of the type token, such as `OnlineDeployment`."""
        return self.type.rsplit(":", 1)[-1]

    @cached_property
    def risk(self) -> Risk:
        """Where the change stands among others."""
        if self.op in {"delete", "replace"}:
            return Risk.DESTRUCTIVE
        roots = {_root(change.path) for change in self.properties}
        found = (risk for risk, kinds, names in _RISKS if self.kind in kinds or (self.op == "update" and roots & names))
        return next(found, Risk.REST)


_RISKS: tuple[tuple[Risk, set[str], set[str]], ...] = (
    (Risk.TRAFFIC, {"EndpointTraffic"}, {"traffic", "mirrorTraffic"}),
    (
        Risk.IMAGE,
        {"ImageBuild", "ImageImport", "ImagePin", "Image", "RegistryImage", "ModelVersion", "CodeVersion"},
        {"image", "environmentId", "modelId", "codeId"},
    ),
    (
        Risk.IDENTITY,
        {"RoleAssignment", "Application", "ServicePrincipal", "UserAssignedIdentity"},
        {"identity", "identityType", "userAssignedIdentities", "authMode", "adminUserEnabled"},
    ),
    (
        Risk.NETWORK,
        set(),
        {"publicNetworkAccess", "networkRuleSet", "networkAcls", "egressPublicNetworkAccess", "anonymousPullEnabled"},
    ),
    (Risk.SECRET, {"Secret", "ApplicationPassword", "WorkspaceConnection", "Connection"}, set()),
)
"""What makes a change risky: the kind of resource, or the property that is updated."""


EXPLAINED = {"ImageBuild", "ImageImport", "ImagePin", "Image", "EnvironmentVersion", "OnlineDeployment"}
"""Kinds whose whole state the report reads: images and instances."""
_PLAIN = ("files", "bases", "packages")
"""What an image is made from: names of files and packages, of which some sound secret, and pieces of hashes."""


@dataclass(frozen=True)
class Credential:
    """A password that ends: its resource, and the moment as it is written there."""

    name: str
    ends: str


@dataclass(frozen=True)
class Finding:
    """What a rule says: one of the policy pack, or one of the image requirements."""

    rule: str
    level: str
    """mandatory or advisory of a policy; error, warning or info of an image."""
    text: str

    @property
    def forbids(self) -> bool:
        """Whether the update would be refused."""
        return self.level in {"mandatory", "error"}


@dataclass(frozen=True)
class Preview:
    """One stack's preview: what changes, what stays, and what the engine and the rules said."""

    stack: str
    changes: tuple[Change, ...]
    unchanged: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    credentials: tuple[Credential, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the preview ended with an error, or a rule forbids the update."""
        return any(severity == "error" for severity, _ in self.messages) or any(each.forbids for each in self.findings)


def read(text: str, stack: str = "") -> Preview:
    """Read one preview in either shape; `PreviewError` where the text is neither."""
    stripped = text.strip()
    if not stripped:
        raise PreviewError("the preview is empty: give what `pulumi preview --json` printed")
    try:
        return _read(stripped, stack)
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise PreviewError(
            f"the preview is not as the engine writes it ({error!r}): give what `pulumi preview --json` printed"
        ) from None


def with_policies(preview: Preview, events: str) -> Preview:
    """Add what policies found: the classic shape keeps it to itself, the event log (`--event-log`) tells it."""
    told = _Told()
    try:
        for event in _lines(events.strip()) if events.strip() else ():
            if policy := event.get("policyEvent"):
                told.policy(policy)
    except AttributeError as error:
        raise PreviewError(f"the event log is not as the engine writes it ({error!r})") from None
    return replace(preview, findings=(*preview.findings, *told.findings.values()))


def _read(stripped: str, stack: str) -> Preview:
    try:
        whole = json.loads(stripped)
    except ValueError:
        return _read_events(_lines(stripped), stack)
    if isinstance(whole, dict) and ("steps" in whole or "changeSummary" in whole or "diagnostics" in whole):
        return _read_classic(whole, stack)
    if isinstance(whole, dict) and "sequence" in whole:
        return _read_events(iter([whole]), stack)
    raise PreviewError("the text is JSON, but no preview: give what `pulumi preview --json` printed")


def _lines(text: str) -> Iterator[dict[str, Any]]:
    # Only line feeds end an event: a JSON text may hold other characters that split lines.
    for number, line in enumerate(text.split("\n"), 1):
        try:
            event = json.loads(line)
        except ValueError:
            raise PreviewError(
                f"line {number} is no JSON ({line[:40]!r}): give what `pulumi preview --json` printed, and nothing else"
            ) from None
        if not isinstance(event, dict):
            raise PreviewError(f"line {number} is no engine event: give what `pulumi preview --json` printed")
        yield event


def _read_classic(document: dict[str, Any], stack: str) -> Preview:
    steps = document.get("steps") or []
    told = _Told()
    for found in document.get("diagnostics") or []:
        told.diagnostic(found)
    if "steps" not in document and not told.messages and not told.findings:
        # A stack's own step is always there: the engine never came so far.
        told.messages.append(("error", "the preview ended before its first step; the job's log says why"))
    for step in steps:
        told.image(step["urn"], step["op"], step.get("newState") or {}, step.get("oldState") or {})
    changes = tuple(
        _change(
            step["urn"],
            step["op"],
            step.get("oldState") or {},
            step.get("newState") or {},
            _Diff(step.get("detailedDiff") or {}, step.get("replaceReasons") or [], step.get("diffReasons") or []),
        )
        for step in steps
        if step["op"] not in QUIET
    )
    return Preview(
        stack or _stack_of([step["urn"] for step in steps]),
        changes,
        # Steps that stay are listed with --show-sames only, but always counted.
        (document.get("changeSummary") or {}).get("same") or sum(step["op"] == "same" for step in steps),
        tuple(told.messages),
        tuple(_credentials((step["urn"], step["op"], step.get("newState"), step.get("oldState")) for step in steps)),
        tuple(told.findings.values()),
    )


def _read_events(events: Iterator[dict[str, Any]], stack: str) -> Preview:
    changes: list[Change] = []
    told = _Told()
    urns: list[str] = []
    ending: list[_Step] = []
    unchanged = 0
    for event in events:
        if step := (event.get("resourcePreEvent") or {}).get("metadata"):
            urns.append(step["urn"])
            old, new = step.get("old") or {}, step.get("new") or {}
            ending.append((step["urn"], step["op"], new, old))
            unchanged += step["op"] == "same"
            told.image(step["urn"], step["op"], new, old)
            if step["op"] not in QUIET:
                diff = _Diff(step.get("detailedDiff") or {}, step.get("keys") or [], step.get("diffs") or [])
                changes.append(_change(step["urn"], step["op"], old, new, diff))
        elif found := event.get("diagnosticEvent"):
            told.diagnostic(found)
        elif policy := event.get("policyEvent"):
            told.policy(policy)
    if not urns and not told.messages and not told.findings:
        raise PreviewError("the events hold no step of a preview: give what `pulumi preview --json` printed")
    return Preview(
        stack or _stack_of(urns),
        tuple(changes),
        unchanged,
        tuple(told.messages),
        tuple(_credentials(iter(ending))),
        tuple(told.findings.values()),
    )


_COLOUR = re.compile(r"<\{%[^%]*%\}>")
_REQUIREMENT = re.compile(r"(?:image: |^)(AML-IMG-\d+) (.+)")


class _Told:
    """Collects what the engine, the policies and the image requirements say; the same line once."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.findings: dict[tuple[str, str], Finding] = {}

    def diagnostic(self, event: dict[str, Any]) -> None:
        """Take a message of the engine; lines that an image requirement wrote are findings."""
        severity, text = str(event.get("severity")), _COLOUR.sub("", str(event.get("message") or ""))
        if severity == "info#err":
            # What the program writes to its standard error: its refusals, a line each.
            severity = "error" if text.startswith("error: ") else "info"
        rest = []
        for line in text.splitlines():
            if found := _REQUIREMENT.search(line):
                self._finding(found[1], severity, found[2])
            else:
                rest.append(line)
        message = " ".join(" ".join(rest).split()).removeprefix(f"{severity}: ")
        if severity in {"error", "warning"} and message:
            said = (severity, str(redacted(message)))
            if said not in self.messages:
                self.messages.append(said)

    def policy(self, event: dict[str, Any]) -> None:
        """Take a violation of the policy pack."""
        text = _COLOUR.sub("", str(event.get("message") or ""))
        self._finding(str(event.get("policyName") or "policy"), str(event.get("enforcementLevel") or "advisory"), text)

    def image(self, urn: str, op: str, new: dict[str, Any], old: dict[str, Any]) -> None:
        """Take what was found in the image that is built and stays."""
        if op != "same" or not _type_of(urn).endswith(":ImageBuild"):
            return
        for line in ((new.get("outputs") or {}) or (old.get("outputs") or {})).get("findings") or []:
            level, _, text = str(line).partition(": ")
            found = _REQUIREMENT.search(text)
            # What the Dockerfile shows was said before: the image shows the same once more, in other words.
            if found and not any(rule == found[1] for rule, _ in self.findings):
                self._finding(found[1], level, found[2])

    def _finding(self, rule: str, level: str, text: str) -> None:
        shown = str(redacted(" ".join(text.split())))
        self.findings.setdefault((rule, shown), Finding(rule, level, shown))


_Step = tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]
"""URN, operation, the state that there would be, and the one that is there."""


def _credentials(steps: Iterable[_Step]) -> Iterator[Credential]:
    """The end of every password that there would be, also of those that do not change."""
    for urn, op, new, old in steps:
        if op not in {"delete", "delete-replaced", "create-replacement"} and _type_of(urn).endswith(_PASSWORD):
            # What stays has its outputs in the old state only: Azure chose the end where the program names none.
            parts = [(new or {}).get("inputs"), (new or {}).get("outputs")]
            parts += [(old or {}).get("outputs")] if op in {"same", "update"} else []
            ends = next((part["endDate"] for part in parts if part and part.get("endDate")), None)
            if ends:
                yield Credential(urn.split("::", 3)[3], str(redacted(ends)))


def _stack_of(urns: list[str]) -> str:
    return urns[0].split("::")[0].removeprefix("urn:pulumi:") if urns else ""


@dataclass(frozen=True)
class _Diff:
    """What the engine says differs: per path, the roots that force a replacement, and the roots that differ."""

    detail: dict[str, Any]
    replacing: list[str]
    differing: list[str]

    def __iter__(self) -> Iterator[tuple[str, bool]]:
        """Every path, with whether it forces a replacement; a root counts only where no path tells more."""
        covered = {_root(path) for path in self.detail}
        roots = [name for name in [*self.differing, *self.replacing] if _root(name) not in covered]
        forcing = {_root(name) for name in self.replacing}
        for path in dict.fromkeys([*self.detail, *roots]):
            found = self.detail.get(path) or {}
            kind = str(found.get("kind") or found.get("diffKind") or "")
            yield path, "replace" in kind or (not found and _root(path) in forcing)


def _change(urn: str, op: str, old: dict[str, Any], new: dict[str, Any], diff: _Diff) -> Change:
    before, after = old.get("inputs") or {}, new.get("inputs") or {}
    if op in {"update", "replace"}:
        properties = tuple(_property(path, old, new, replaces=replaces) for path, replaces in diff)
        # Of two hidden values nobody sees that they differ; the engine says so.
        properties = tuple(each for each in properties if each.old != each.new or each.replaces or each.new == HIDDEN)
    else:
        properties = tuple(
            PropertyChange(name, redacted(before.get(name), name), redacted(after.get(name), name))
            for name in dict.fromkeys([*before, *after])
            if not name.startswith("__")
        )
    state = new or old
    told = _type_of(urn).rsplit(":", 1)[-1] in EXPLAINED
    return Change(
        urn,
        op,
        properties,
        tuple(state.get("dependencies") or ()),
        _facts(old) if told else {},
        _facts(new) if told else {},
    )


def _facts(state: dict[str, Any]) -> dict[str, Any]:
    """Outputs, and over them what the program says: in a preview the outputs may still be the old ones."""
    whole = {**(state.get("outputs") or {}), **(state.get("inputs") or {})}
    plain = {name: whole.pop(name) for name in _PLAIN if name in whole}
    found: dict[str, Any] = redacted(whole)
    return found | plain


@lru_cache(maxsize=16384)
def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _root(path: str) -> str:
    return str(_parts(path)[0])


def _property(path: str, old: dict[str, Any], new: dict[str, Any], *, replaces: bool) -> PropertyChange:
    before = _seen(old.get("inputs") or {}, path)
    if before is None:
        before = _seen(old.get("outputs") or {}, path)
    before, after = alike(before, _seen(new.get("inputs") or {}, path))
    return PropertyChange(path, before, after, replaces)


def _seen(properties: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON
    """What stands at a path, without secrets: what is around it tells too, so the whole property is looked at."""
    root = _root(path)
    return _at({root: redacted(properties.get(root), root)}, path) if root in properties else None


@lru_cache(maxsize=4096)
def _parts(path: str) -> tuple[str | int, ...]:
    """Split an engine's property path: `a.b[0]["c.d"]`."""
    parts: list[str | int] = []
    rest = path
    while rest:
        if rest.startswith('["'):
            end = rest.find('"]', 2)
            end = len(rest) if end < 0 else end
            parts.append(rest[2:end].replace('\\"', '"'))
            rest = rest[end + 2 :]
        elif rest.startswith("["):
            end = rest.find("]")
            end = len(rest) if end < 0 else end
            inner = rest[1:end]
            parts.append(int(inner) if inner.isdigit() else inner)
            rest = rest[end + 1 :]
        else:
            rest = rest.removeprefix(".")
            end = next((n for n, letter in enumerate(rest) if letter in ".["), len(rest))
            parts.append(rest[:end])
            rest = rest[end:]
            if end == 0 and not rest.startswith("["):
                break
    return tuple(parts) or (path,)


def _at(value: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """The value at a path; hidden where what holds it is hidden."""
    for part in _parts(path):
        if value == HIDDEN:
            return HIDDEN
        if isinstance(value, dict):
            value = value.get(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
