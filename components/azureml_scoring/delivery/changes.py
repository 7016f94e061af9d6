"""What a preview would change, read from `pulumi preview --json`. Pure, but for `load`; owns no wording.

Both formats are read: the classic document and the streaming one (one engine event a line,
PULUMI_ENABLE_STREAMING_JSON_PREVIEW). https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from azureml_scoring.delivery.redaction import HIDDEN, equally_hidden, is_marked, part_of, redacted, redacted_at
from azureml_scoring.errors import CommandError

QUIET = {
    "same",
    "read",
    "refresh",
    "read-replacement",
    "discard-replaced",
    "discard",
    "diff",
    "create-replacement",
    "delete-replaced",
    "remove-pending-replace",
    "extend-parameterize",
}
"""Operations that change nothing, or that the `replace` beside them reports.

https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/resource/deploy/step.go
"""

IMPORTS = {"import", "import-replacement"}
"""Operations that take an existing resource into the state."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's mark of a value that is known only after the update."""

_PASSWORD = ":ApplicationPassword"  # noqa: S105 - a type's name


class PreviewError(CommandError):
    """The text is not a preview; one line that says why."""


class Risk(IntEnum):
    """The order of changes: what breaks clients comes first."""

    DESTRUCTIVE = 0
    TRAFFIC = 1
    IMAGE = 2
    IDENTITY = 3
    NETWORK = 4
    SECRET = 5
    IMPORTED = 6
    REST = 7


class PropertyChange(NamedTuple):
    """One property that differs; values are without secrets. `replaces`: it forces a replacement."""

    path: str
    old: Any
    new: Any
    replaces: bool = False

    @property
    def root(self) -> str:
        """The property that the path begins with."""
        return _root(self.path)


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    urn: str
    op: str
    properties: tuple[PropertyChange, ...]
    dependencies: tuple[str, ...] = ()
    old: dict[str, Any] = field(default_factory=dict)
    """The current state, without secrets; only what `EXPLAINED` names."""
    new: dict[str, Any] = field(default_factory=dict)
    """The state after the update, likewise."""
    differing: frozenset[str] = frozenset()
    """What `EXPLAINED` names and differs, also where both values are hidden."""
    imported: str = ""
    """The id under which an existing resource is imported."""
    retained: bool = False
    """The resource leaves the stack and stays on Azure: Pulumi's `retainOnDelete`."""

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
    def roots(self) -> set[str]:
        """The properties that differ, without what is below them; `properties` of ARM is no property of its own."""
        parts = [_parts(change.path) for change in self.properties]
        return {str(each[1] if each[0] == "properties" and len(each) > 1 else each[0]) for each in parts}

    @property
    def is_new_version(self) -> bool:
        """Whether an asset gets a new version beside the old one: nothing that serves goes away."""
        return self.op == "replace" and self.kind in _VERSIONS

    @cached_property
    def risk(self) -> Risk:
        """How risky the change is."""
        if self.is_new_version:
            return Risk.IMAGE
        if self.op == "delete" and self.retained:
            return Risk.REST
        if self.op in {"delete", "replace", "import-replacement"}:
            return Risk.DESTRUCTIVE
        if self.op == "import":
            return Risk.IMPORTED
        risks = (
            risk for risk, kinds, names in _RISKS if self.kind in kinds or (self.op == "update" and self.roots & names)
        )
        return next(risks, Risk.REST)


_RISKS: tuple[tuple[Risk, set[str], set[str]], ...] = (
    (Risk.TRAFFIC, {"EndpointTraffic"}, {"traffic", "mirrorTraffic"}),
    (
        Risk.IMAGE,
        {
            "ImageBuild",
            "ImageImport",
            "ImagePin",
            "Image",
            "RegistryImage",
            "ModelVersion",
            "CodeVersion",
            "VersionPin",
        },
        {"image", "environmentId", "modelId", "codeId"},
    ),
    (
        Risk.IDENTITY,
        {"RoleAssignment", "Application", "ServicePrincipal", "UserAssignedIdentity"},
        {"identity", "identityType", "userAssignedIdentities", "authMode", "adminUserEnabled"},
    ),
    (
        Risk.NETWORK,
        {
            *("VirtualNetwork", "PrivateEndpoint", "PrivateDnsZoneGroup", "PrivateZone", "VirtualNetworkLink"),
            *("ManagedNetwork", "ManagedNetworkSettingsRule"),
        },
        {
            *("publicNetworkAccess", "networkRuleSet", "networkAcls", "managedNetwork"),
            *("egressPublicNetworkAccess", "anonymousPullEnabled"),
        },
    ),
    (Risk.SECRET, {"Secret", "ApplicationPassword", "WorkspaceConnection", "Connection"}, set()),
)
"""What makes a change risky: the kind of resource, or the property that is updated."""


_VERSIONS = {"EnvironmentVersion", "ModelVersion", "CodeVersion", "DataVersion"}

EXPLAINED = {
    "ImageBuild": (
        *("contentKey", "digest", "repository", "buildArguments", "dockerfile", "platform", "target"),
        *("files", "bases", "packages"),
    ),
    "ImageImport": ("source",),
    "ImagePin": ("reference", "digest"),
    "Image": ("imageName", "repoDigest", "tags", "digest"),
    "EnvironmentVersion": ("image",),
    "OnlineDeployment": ("kind", "instanceType", "instanceCount", "autoscaled", "location"),
    "Registry": ("sku", "location", "publicNetworkAccess", "networkRuleSet"),
    "StorageAccount": ("location", "publicNetworkAccess", "networkRuleSet"),
    "Vault": ("location", "properties"),
    "Workspace": ("location", "publicNetworkAccess"),
    "OnlineEndpoint": ("publicNetworkAccess",),
    "ManagedNetworkSettingsRule": ("properties",),
}
"""What the report reads of a state beside what differs, by kind: images, costs, and who reaches what."""
_PLAIN = {"files", "bases", "packages"}
"""What an image is built from: names of files and packages, of which some look like secrets, and parts of hashes."""


@dataclass(frozen=True)
class Credential:
    """A password that expires: its resource, and the time as it is written there."""

    name: str
    ends: str


@dataclass(frozen=True)
class Finding:
    """A violation of the policy pack or of an image requirement."""

    rule: str
    level: str
    """mandatory or advisory of a policy; error, warning or info of an image requirement."""
    text: str
    resources: tuple[str, ...] = ()
    """Names of the resources that violate it, where they are known."""

    @property
    def forbids(self) -> bool:
        """Whether the update would be refused."""
        return self.level in {"mandatory", "error"}


@dataclass(frozen=True)
class Preview:
    """One stack's preview: what changes, what does not, and what the engine, policies and image requirements report."""

    stack: str
    changes: tuple[Change, ...]
    unchanged: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    credentials: tuple[Credential, ...] = ()
    findings: tuple[Finding, ...] = ()
    unjudged: tuple[str, ...] = ()
    """Policies that need values which are known only after the update."""
    unchanged_resources: tuple[Change, ...] = ()
    """Those that the preview lists (`--show-sames`); their count is `unchanged`."""

    @property
    def failed(self) -> bool:
        """Whether the preview ended with an error, or a rule forbids the update."""
        return any(severity == "error" for severity, _ in self.messages) or any(each.forbids for each in self.findings)


def read(text: str, stack: str = "") -> Preview:
    """Read one preview in either format; `PreviewError` where the text is neither."""
    try:
        return _read(text.removeprefix("\ufeff"), stack)
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise PreviewError(
            f"the preview is not as the engine writes it ({error!r}); save the output of `pulumi preview --json`"
        ) from None


def load(file: str, stack: str = "") -> Preview:
    """Read a file, or standard input for -, and the event log beside it; a stack without a name takes the file's."""
    try:
        text = sys.stdin.read() if file == "-" else _decoded(Path(file).read_bytes())
        preview = read(text, stack)
        log = Path(file).with_suffix(".events")
        if file != "-" and log.is_file():
            preview = with_policies(preview, log.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PreviewError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except PreviewError as error:
        raise PreviewError(f"{file}: {error}") from None
    return preview if preview.stack else replace(preview, stack=Path(file).stem)


def _decoded(data: bytes) -> str:
    """Decode a file; PowerShell's `>` writes UTF-16."""
    return data.decode(json.detect_encoding(data))


def with_policies(preview: Preview, events: str) -> Preview:
    """Add policy violations from an event log (`--event-log`): the classic format has none."""
    collector = DiagnosticCollector()
    try:
        for event in _documents(events):
            if policy := event.get("policyEvent"):
                collector.policy(policy)
    except AttributeError as error:
        raise PreviewError(f"the event log is not as the engine writes it ({error!r})") from None
    return replace(
        preview, findings=(*preview.findings, *collector.findings.values()), unjudged=tuple(collector.unjudged)
    )


def _read(text: str, stack: str) -> Preview:
    documents = list(_documents(text))
    classic = [document for document in documents if document.keys() & {"steps", "changeSummary", "diagnostics"}]
    if len(classic) > 1:
        raise PreviewError(f"the file holds {len(classic)} previews; write each into a file of its own")
    return _read_classic(classic[0], stack) if classic else _read_events(documents, stack)


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects that begin a line; what Pulumi, plugins and shells print around them is skipped.

    Pulumi prints there as well: https://github.com/pulumi/pulumi/issues/19775
    """
    decoder, start = json.JSONDecoder(), 0 if text.startswith("{") else _next(text, 0)
    while start >= 0:
        if not _BEGINS.match(text, start):
            start = _next(text, start)
            continue
        try:
            document, end = decoder.raw_decode(text, start)
        except ValueError:
            line = text.count("\n", 0, start) + 1
            raise PreviewError(
                f"the JSON that begins on line {line} is incomplete; save the output of `pulumi preview --json`"
            ) from None
        yield document
        start = _next(text, end)


_BEGINS = re.compile(r'\{\s*["}]')
"""How a JSON object begins; other texts may begin with a brace as well."""


def _next(text: str, after: int) -> int:
    """Return where the next line begins with a brace; -1 where none does."""
    return text.find("\n{", after) + 1 or -1


def _read_classic(document: dict[str, Any], stack: str) -> Preview:
    collector = DiagnosticCollector()
    for diagnostic in document.get("diagnostics") or []:
        collector.diagnostic(diagnostic)
    fields = ("oldState", "newState", "replaceReasons", "diffReasons")
    steps = [_Step.of(step, *fields) for step in document.get("steps") or []]
    return _preview(steps, collector, stack, document.get("changeSummary"))


def _read_events(events: Iterable[dict[str, Any]], stack: str) -> Preview:
    collector = DiagnosticCollector()
    steps: list[_Step] = []
    counts: dict[str, int] | None = None
    for event in events:
        if step := (event.get("resourcePreEvent") or {}).get("metadata"):
            steps.append(_Step.of(step, "old", "new", "keys", "diffs"))
        elif diagnostic := event.get("diagnosticEvent"):
            collector.diagnostic(diagnostic)
        elif policy := event.get("policyEvent"):
            collector.policy(policy)
        elif summary := event.get("summaryEvent"):
            counts = summary.get("resourceChanges") or {}
    if not (steps or collector.messages or collector.findings or collector.unjudged or counts):
        raise PreviewError("the events hold no step of a preview; save the output of `pulumi preview --json`")
    return _preview(steps, collector, stack, counts)


def _preview(
    steps: list["_Step"], collector: "DiagnosticCollector", stack: str, counts: dict[str, int] | None
) -> Preview:
    for step in steps:
        collector.image(step)
    forbidden = any(finding.forbids for finding in collector.findings.values())
    if not forbidden and not any(severity == "error" for severity, _ in collector.messages):
        collector.messages += _incomplete(steps, counts)
    changed = tuple(_change(step) for step in _reported(steps))
    urns = {change.urn for change in changed}
    same = (step for step in steps if step.op == "same" and step.urn not in urns)
    return Preview(
        stack or (steps[0].urn.split("::")[0].removeprefix("urn:pulumi:") if steps else ""),
        changed,
        # Unchanged resources are listed with --show-sames only, but always counted.
        (counts or {}).get("same") or sum(step.op == "same" for step in steps),
        tuple(collector.messages),
        tuple(_credentials(steps)),
        tuple(collector.findings.values()),
        tuple(collector.unjudged),
        tuple(Change(step.urn, step.op, (), _needs(step)) for step in same),
    )


def _incomplete(steps: list["_Step"], counts: dict[str, int] | None) -> Iterator[tuple[str, str]]:
    """Yield what tells that steps are missing: the engine counts at the end, each operation that it has listed."""
    if counts is None:
        yield "error", "the preview ended before its summary; the job's log says why"
        return
    counted = sum(number for op, number in counts.items() if op not in QUIET)
    listed = sum(step.op not in QUIET for step in steps)
    if counted > listed:
        yield "error", f"the preview counts {counted} changes and lists {listed or 'none'}; the file is cut"


def _reported(steps: list["_Step"]) -> Iterator["_Step"]:
    """Yield the steps that change something: of the steps of one replacement, one."""
    replaced = {step.urn for step in steps if step.op == "replace"}
    imported = {step.urn for step in steps if step.op == "import-replacement"}
    for step in steps:
        if step.op == "delete-replaced" and step.urn not in replaced:
            # What an earlier run replaced and did not delete.
            yield replace(step, op="delete")
        elif step.op not in QUIET and not (step.op == "replace" and step.urn in imported):
            yield step


@dataclass(frozen=True)
class _Step:
    """One step of a preview, of either format."""

    urn: str
    op: str
    old: dict[str, Any]
    new: dict[str, Any]
    diff: dict[str, Any]
    """By property path."""
    replacing: list[str]
    """Properties that force a replacement."""
    differing: list[str]

    def compares_inputs(self, path: str) -> bool:
        """Whether a difference is one of two inputs; otherwise the old value is of the state."""
        return bool(self.diff.get(path, {}).get("inputDiff"))

    @classmethod
    def of(cls, document: dict[str, Any], old: str, new: str, replacing: str, differing: str) -> "_Step":
        """Read a step, whose fields have other names in each format."""
        parts: list[Any] = [document.get(name) or {} for name in (old, new, "detailedDiff")]
        parts += [document.get(name) or [] for name in (replacing, differing)]
        return cls(document["urn"], document["op"], *parts)

    @property
    def paths(self) -> Iterator[tuple[str, bool]]:
        """Each path that differs, and whether it forces a replacement; a root only where no path below it is named."""
        covered = {_root(path) for path in self.diff}
        roots = [name for name in [*self.differing, *self.replacing] if _root(name) not in covered]
        forcing = {_root(name) for name in self.replacing}
        for path in dict.fromkeys([*self.diff, *roots]):
            entry = self.diff.get(path) or {}
            kind = str(entry.get("kind") or entry.get("diffKind") or "")
            yield path, "replace" in kind or (not entry and _root(path) in forcing)


COLOUR = re.compile(r"<\{%[^%]*%\}>")
"""The engine's colour markup in messages."""
_UNJUDGED = re.compile(r"can't run policy .* during preview: ")
"""pulumi-policy's message where a rule reads a value that is unknown (sdk/python, `pulumi_policy/policy.py`)."""
_REQUIREMENT = re.compile(r"(?:image: |^)(AML-IMG-\d+) (.+)")


class DiagnosticCollector:
    """Collects what the engine, policies and image requirements report; the same line once."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.findings: dict[tuple[str, str], Finding] = {}
        self.unjudged: dict[str, None] = {}

    def diagnostic(self, event: dict[str, Any]) -> None:
        """Take a message of the engine; lines of an image requirement are findings."""
        severity, text = str(event.get("severity")), COLOUR.sub("", str(event.get("message") or ""))
        if severity == "info#err":
            # What the program writes to its standard error: its refusals, a line each.
            severity = "error" if text.startswith("error: ") else "info"
        rest = []
        for line in text.splitlines():
            if match := _REQUIREMENT.search(line):
                self._finding(match[1], severity, match[2])
            else:
                rest.append(line)
        message = " ".join(" ".join(rest).split()).removeprefix(f"{severity}: ")
        if severity in {"error", "warning"} and message:
            entry = (severity, str(redacted(message)))
            if entry not in self.messages:
                self.messages.append(entry)

    def policy(self, event: dict[str, Any]) -> None:
        """Take a violation of the policy pack."""
        rule, text = str(event.get("policyName") or "policy"), COLOUR.sub("", str(event.get("message") or ""))
        if _UNJUDGED.search(text):
            self.unjudged[rule] = None
            return
        resource = str(event.get("resourceUrn") or "").rpartition("::")[2]
        if resource:
            text = text.replace(f"{resource}: ", "", 1)
        self._finding(rule, str(event.get("enforcementLevel") or "advisory"), text, resource)

    def image(self, step: _Step) -> None:
        """Take the findings about an image that is built already and does not change."""
        if step.op != "same" or not _type_of(step.urn).endswith(":ImageBuild"):
            return
        for line in (step.new.get("outputs") or step.old.get("outputs") or {}).get("findings") or []:
            level, _, text = str(line).partition(": ")
            match = _REQUIREMENT.search(text)
            # What the Dockerfile shows is reported already: the image shows it once more, in other words.
            if match and not any(rule == match[1] for rule, _ in self.findings):
                self._finding(match[1], level, match[2])

    def _finding(self, rule: str, level: str, text: str, resource: str = "") -> None:
        """Add a violation; one of several resources is one finding."""
        line = str(redacted(" ".join(text.split())))
        finding = self.findings.get((rule, line)) or Finding(rule, level, line)
        if resource and resource not in finding.resources:
            finding = replace(finding, resources=(*finding.resources, resource))
        self.findings[rule, line] = finding


def _credentials(steps: Iterable[_Step]) -> Iterator[Credential]:
    """Return when each password expires, also those that do not change: by the last step, as a refresh comes first."""
    passwords = (step for step in steps if _type_of(step.urn).endswith(_PASSWORD))
    last = {step.urn: step for step in passwords if step.op not in {"delete-replaced", "create-replacement"}}
    for step in last.values():
        if step.op == "delete":
            continue
        # Without a change the outputs are in the old state only, and Azure chooses the end where the program has none.
        parts = [step.new.get("inputs"), step.new.get("outputs")]
        parts += [step.old.get("outputs")] if step.op in {"same", "update", "refresh"} else []
        if ends := next((part["endDate"] for part in parts if part and part.get("endDate")), None):
            yield Credential(step.urn.split("::", 3)[3], str(redacted(ends)))


def _change(step: _Step) -> Change:
    names = EXPLAINED.get(_type_of(step.urn).rsplit(":", 1)[-1], ())
    before, after = _explained(step.old, names), _explained(step.new, names)
    return Change(
        step.urn,
        step.op,
        tuple(_properties(step)) if step.op in {"update", "replace"} else (),
        _needs(step),
        _shown(before),
        _shown(after),
        frozenset(name for name in names if before.get(name) != after.get(name)),
        str(step.new.get("id") or "") if step.op in IMPORTS else "",
        bool(step.old.get("retainOnDelete")),
    )


def _needs(step: _Step) -> tuple[str, ...]:
    return tuple((step.new or step.old).get("dependencies") or ())


def _explained(state: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return some properties; inputs win: in a preview the outputs may still be the old ones."""
    inputs, outputs = state.get("inputs") or {}, state.get("outputs") or {}
    return {name: inputs.get(name, outputs.get(name)) for name in names if name in inputs or name in outputs}


def _shown(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name in _PLAIN else redacted(value, name) for name, value in properties.items()}


def _properties(step: _Step) -> Iterator[PropertyChange]:
    """Yield each property that differs. A secret that the engine names is one: two hidden values look the same."""
    inputs, outputs = step.old.get("inputs") or {}, step.old.get("outputs") or {}
    new = step.new.get("inputs") or {}
    for path, replaces in step.paths:
        old, before, after = inputs, _at(inputs, path), _at(new, path)
        if before is None or (before == after and not step.compares_inputs(path)):
            old = inputs if _at(outputs, path) is None else outputs
        leaves = list(_leaves(path, _at(old, path), after))
        for leaf in leaves or ([path] if replaces else []):
            parts = _parts(leaf)
            yield PropertyChange(leaf, *equally_hidden(redacted_at(old, parts), redacted_at(new, parts)), replaces)


def _leaves(path: str, old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield the paths at and below a path whose values differ or are hidden."""
    if isinstance(old, dict) and isinstance(new, dict) and not (is_marked(old) or is_marked(new)):
        for name in dict.fromkeys([*old, *new]):
            yield from _leaves(_below(path, name), old.get(name), new.get(name))
    elif old != new or is_marked(old) or HIDDEN in str(old):
        yield path


def _below(path: str, name: str) -> str:
    """Return the path of a property's property, as the engine writes it."""
    return f"{path}.{name}" if name.isidentifier() else f'{path}["{name.replace(chr(34), chr(92) + chr(34))}"]'


@lru_cache(maxsize=16384)
def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _root(path: str) -> str:
    return str(_parts(path)[0])


_PART = re.compile(r'\["(?P<quoted>.*?)(?:"\]|$)|\[(?P<index>[^\]]*)\]?|(?P<name>[^.\[]+)')


@lru_cache(maxsize=4096)
def _parts(path: str) -> tuple[str | int, ...]:
    """Split a property path of the engine: `a.b[0]["c.d"]`."""
    return tuple(_part(match) for match in _PART.finditer(path)) or (path,)


def _part(match: re.Match[str]) -> str | int:
    if match["quoted"] is not None:
        return match["quoted"].replace('\\"', '"')
    index = match["index"]
    return match["name"] if index is None else int(index) if index.isdigit() else index


def _at(value: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path; hidden where its container is."""
    for part in _parts(path):
        if value == HIDDEN:
            return HIDDEN
        value = part_of(value, part)
    return value
