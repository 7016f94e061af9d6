"""The report for reviewers: one Markdown text of one or more previews. Pure; owns wording and length, no reading.

Fits a pull request: what the endpoint's clients notice, then changes by risk, with only what differs. The least
important parts are omitted first, and the last line names them.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile
from typing import Any

from azureml_scoring.delivery import image_diff
from azureml_scoring.delivery.changes import UNKNOWN, Change, Credential, Finding, Preview, PropertyChange, Risk
from azureml_scoring.delivery.markdown import code, label, row, text
from azureml_scoring.delivery.prices import Prices, difference

MARKER = "<!-- azureml-scoring preview -->"
"""Identifies the comment, so that it is edited in place."""

LIMITS = {"github": 64_000, "azure-devops": 150_000}
"""Longest comment in characters; GitHub takes 65,536."""
_MOST_NODES = 30
_SOON = 30
"""Days before its end at which a password's end is urgent."""
_MOST_PROPERTIES = 12
_MOST_NAMES = 8
_LONGEST_VALUE = 160
_CONTEXT = 40
"""Characters of a common start that are left."""

_TITLES = {
    Risk.DESTRUCTIVE: "Replaced or deleted",
    Risk.TRAFFIC: "Traffic",
    Risk.IMAGE: "Image",
    Risk.IDENTITY: "Identity and roles",
    Risk.NETWORK: "Network exposure",
    Risk.SECRET: "Secrets",
    Risk.IMPORTED: "Imported into the stack",
    Risk.REST: "The rest",
}
_OPERATIONS = {
    "replace": "replaced",
    "delete": "deleted",
    "update": "updated",
    "create": "created",
    "import": "imported",
    "import-replacement": "imported",
}


@dataclass(frozen=True)
class _Part:
    """A part of the report; parts with a higher `rank` are omitted first."""

    rank: int
    name: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


TITLE = "What this change would do"


def render(
    previews: Sequence[Preview],
    limit: int = LIMITS["github"],
    prices: Prices | None = None,
    title: str = TITLE,
    today: date | None = None,
) -> str:
    """Return the report, at most `limit` characters long; with prices, it estimates the cost of instances."""
    parts = [_Part(0, "", (MARKER, f"## {text(title)}"))]
    for preview in previews:
        parts += _stack_parts(preview, prices, today or datetime.now(UTC).date())
    note = 500  # longest last line
    size = sum(len(part.text) + 1 for part in parts)
    omitted: set[int] = set()
    if size > limit:
        for position in sorted(range(len(parts)), key=lambda n: (parts[n].rank, n), reverse=True):
            if size + note <= limit or not parts[position].rank:
                break
            omitted.add(position)
            size -= len(parts[position].text) + 1
    whole = _joined(
        [part for position, part in enumerate(parts) if position not in omitted],
        [part.name for position, part in enumerate(parts) if position in omitted],
    )
    if len(whole) <= limit:
        return whole
    note_of_cut = "\n\n_Cut here: the headlines alone are longer than a comment may be._\n"
    # Whole lines only: part of a line could leave markup open.
    return whole[: limit - len(note_of_cut)].rpartition("\n")[0] + note_of_cut


def _joined(parts: Iterable[_Part], omitted: list[str]) -> str:
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(part.text for part in parts))
    if not omitted:
        return body
    names = ", ".join(dict.fromkeys(omitted))
    shown = names if len(names) <= 400 else f"{len(omitted)} lines and tables"  # noqa: PLR2004 - a line's length
    return f"{body}\n_Omitted, since a comment has a limit: {shown}. The job's log has the whole preview._\n"


def _stack_parts(preview: Preview, prices: Prices | None, today: date) -> list[_Part]:
    stack = text(preview.stack)
    parts = [_Part(0, "", (f"### {code(preview.stack)}: {headline(preview)}", "", counts(preview)))]
    for n, (severity, message) in enumerate(_by_severity(preview.messages)):
        rank = 0 if severity == "error" and n < 5 else 30  # noqa: PLR2004 - the first errors always stay
        parts.append(_Part(rank, f"messages of {stack}", (f"- **{severity}**: {text(message, 500)}",)))
    parts += _finding_parts(stack, preview)
    explained = [
        (f"images of {stack}", images(preview.changes)),
        (f"costs of {stack}", costs(preview.changes, prices) if prices else []),
        (f"credentials of {stack}", credentials(preview.credentials, today)),
    ]
    parts += [_Part(9, name, ("", *lines)) for name, lines in explained if lines]
    replaced = {change.urn: change.name for change in preview.changes if change.op == "replace"}
    for risk in Risk:
        if changes := [change for change in preview.changes if change.risk is risk]:
            parts += _risk_parts(preview.stack, risk, changes, replaced)
    if len(preview.changes) > 1:
        parts.append(_Part(100, f"graph of {stack}", tuple(graph(preview.changes))))
    return parts


_LEVELS = ("mandatory", "error", "advisory", "warning", "info")


def _finding_parts(stack: str, preview: Preview) -> list[_Part]:
    """Return the violations of policies and image requirements, the worst first."""
    parts = []
    for n, finding in enumerate(sorted(preview.findings, key=_level)):
        rank = 0 if finding.forbids and n < 5 else 9 if finding.forbids else 30 + _level(finding)  # noqa: PLR2004 - as above
        on = f" on {_several(list(finding.resources))}" if finding.resources else ""
        line = f"- **{text(finding.level)}** {code(finding.rule)}{on}: {text(finding.text, 500)}"
        parts.append(_Part(rank, f"findings of {stack}", (line,)))
    if preview.unjudged:
        line = (
            f"- **info**: {_several(list(preview.unjudged))} cannot judge before the update, when all values are known"
        )
        parts.append(_Part(40, f"findings of {stack}", (line,)))
    return parts


def _level(finding: Finding) -> int:
    return _LEVELS.index(finding.level) if finding.level in _LEVELS else len(_LEVELS)


def _by_severity(messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(messages, key=lambda message: message[0] != "error")


def _risk_parts(stack: str, risk: Risk, changes: list[Change], replaced: dict[str, str]) -> list[_Part]:
    title = _TITLES[risk]
    name = f"{title.lower()} of {text(stack)}"
    parts = [_Part(10 + risk, name, (f"**{title}**", ""))]
    for change in changes:
        done = text(_OPERATIONS.get(change.op, change.op))
        origin = f" from {_value(change.imported)}" if change.imported else ""
        head = f"- {code(change.name)} ({text(change.kind)}) is **{done}**{origin}{_why(change, replaced)}"
        # Details are omitted before the changes themselves, the least risky first.
        parts.append(_Part(20 + risk, f"changes: {name}", (head,)))
        lines = _property_lines(change)
        if lines:
            parts.append(_Part(50 + risk, f"details: {name}", tuple(lines)))
    return parts


def _why(change: Change, replaced: dict[str, str]) -> str:
    """Say why a replacement happens: its own properties, or its dependencies."""
    reasons = [each.path for each in change.properties if each.replaces]
    if reasons:
        return f" because {_several(reasons)} cannot change in place"
    if change.op != "replace":
        return ""
    needed = [replaced[urn] for urn in change.dependencies if urn in replaced]
    verb = "are" if len(needed) > 1 else "is"
    return f" because {_several(needed) if needed else 'what it depends on'} {verb} replaced"


def _several(names: list[str]) -> str:
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*(code(name) for name in names[:_MOST_NAMES]), *more])


def _property_lines(change: Change) -> list[str]:
    if change.op not in {"update", "replace"} or not change.properties:
        return []
    shown = change.properties[:_MOST_PROPERTIES]
    lines = ["", row("property", "old", "new"), row("---", "---", "---")]
    lines += [row(code(each.path), *_values(each.old, each.new)) for each in shown]
    if len(change.properties) > len(shown):
        lines.append(row(f"and {len(change.properties) - len(shown)} more", "", ""))
    return [*lines, ""]


def _values(old: Any, new: Any) -> tuple[str, str]:  # noqa: ANN401 - JSON
    """Format two values; of long ones, the common start is cut off."""
    before, after = _plain(old), _plain(new)
    if max(len(before), len(after)) <= _LONGEST_VALUE or UNKNOWN in (old, new) or None in (old, new):
        return _value(old), _value(new)
    common = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    start = sum(1 for _ in common) - _CONTEXT
    if start > 0:
        before, after = f"…{before[start:]}", f"…{after[start:]}"
    return code(before, _LONGEST_VALUE), code(after, _LONGEST_VALUE)


def _value(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return "none"
    if value == UNKNOWN:
        return "_known after the update_"
    shown = _plain(value)
    if shown.startswith("/") and len(shown) > _LONGEST_VALUE:
        shown = f"…{shown[1 - _LONGEST_VALUE :]}"  # the end of an id names the resource
    return code(shown, _LONGEST_VALUE)


def _plain(value: Any) -> str:  # noqa: ANN401 - JSON
    shown = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return shown.replace(UNKNOWN, "known after the update")


def counts(preview: Preview) -> str:
    """Return the line of numbers below a headline."""
    numbers = dict.fromkeys(_OPERATIONS.values(), 0)
    for change in preview.changes:
        word = _OPERATIONS.get(change.op, change.op)
        numbers[word] = numbers.get(word, 0) + 1
    changed = [f"{number} {word}" for word, number in numbers.items() if number]
    return ", ".join([*changed, f"{preview.unchanged} unchanged"])


def headline(preview: Preview) -> str:
    """Return what the endpoint's clients notice."""
    if any(severity == "error" for severity, _ in preview.messages):
        return "the preview failed"
    if preview.failed:
        return "a rule forbids it"
    kinds = {(change.kind, change.op) for change in preview.changes}
    effects = [effect for causes, effect in _HEADLINES if kinds & causes]
    # A pinned deployment serves on, whatever is built.
    served = any(change.risk is Risk.IMAGE and change.kind == "OnlineDeployment" for change in preview.changes)
    if served and not any("endpoint" in effect for effect in effects):
        effects.append("clients get answers of another image")
    effects += [_traffic(change) for change in preview.changes if change.risk is Risk.TRAFFIC and change.op == "update"]
    if effects:
        return "; ".join(effects)
    return "nothing changes" if not preview.changes else "clients notice nothing"


_HEADLINES: tuple[tuple[set[tuple[str, str]], str], ...] = (
    ({("OnlineEndpoint", "replace")}, "the endpoint is replaced: its URL and keys change"),
    ({("OnlineEndpoint", "delete")}, "the endpoint is deleted"),
    ({("OnlineEndpoint", "create")}, "a new endpoint"),
)


def images(changes: Iterable[Change]) -> list[str]:
    """Return the old and the new image, by tag and digest, and how their files and packages differ."""
    lines = []
    for change in changes:
        if change.kind == "ImageBuild" and change.op in {"create", "update", "replace"}:
            lines += _built(change)
        elif change.kind in _NAMED and change.op in {"create", "update", "replace"}:
            name, digest = _TAGGED if "tags" in change.new else _NAMED[change.kind]
            before, after = (_first(values.get(name)) for values in (change.old, change.new))
            known = f" ({_value(change.old[digest])})" if change.old.get(digest) else ""
            if before != after:
                lines.append(f"- Image: {f'{_value(before)}{known} → ' if before else ''}{_value(after)}")
        elif change.kind == "EnvironmentVersion" and change.op in {"update", "replace"}:
            before, after = change.old.get("image"), change.new.get("image")
            if after not in (before, UNKNOWN):
                lines.append(f"- Image of {code(change.name)}: {_value(before)} → {_value(after)}")
    return lines


_NAMED = {"Image": ("imageName", "repoDigest"), "ImageImport": ("source", ""), "ImagePin": ("reference", "digest")}
"""Properties with the reference and the current digest of images that ACR does not build, by kind."""
_TAGGED = ("tags", "digest")
"""The same of an image by pulumi-docker-build, which may have several tags; ours has one."""


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _built(change: Change) -> list[str]:
    old, new = _tagged(change.old), _tagged(change.new)
    if old == new and change.op != "replace":
        return []
    digest = change.old.get("digest")
    known = f" ({code(str(digest))})" if old and digest else ""
    tags = f"{code(old)}{known} → {code(new)}" if old else code(new)
    lines = [f"- Image {code(str(change.new.get('repository', change.name)))}: {tags}, built by the update"]
    if not change.old:
        return lines
    differing = [name for name in _BUILT_FROM if change.old.get(name) != change.new.get(name)]
    lines += [f"  - other {words}" for name, words in _BUILT_FROM.items() if name in differing]
    return lines + [f"  - {line}" for line in image_diff.explained(change.old, change.new)]


_BUILT_FROM = {
    "buildArguments": "build arguments",
    "dockerfile": "Dockerfile",
    "platform": "platform",
    "target": "stage of the Dockerfile",
}


def _tagged(facts: dict[str, Any]) -> str:
    """Return the tag of a build's image: the start of the hash of its content."""
    return str(facts.get("contentKey") or "")[:12]


def costs(changes: Iterable[Change], prices: Prices) -> list[str]:
    """Return how the monthly cost of instances changes, as an estimate."""
    cost = difference(changes, prices)
    if cost is None:
        return []
    total = (
        "by an unknown amount" if cost.unknown else f"by about **{cost.difference:+,.0f} {prices.currency}** a month"
    )
    line = f"- Instances: {cost.instances:+d}, cost changes {total}. Estimate from list prices of {text(prices.dated)}"
    if cost.elsewhere:
        line += f", for {', '.join(code(region) for region in cost.elsewhere)} at the prices of {code(prices.fallback)}"
    if cost.unknown:
        line += f"; no price is known of {', '.join(code(kind) for kind in cost.unknown)}"
    return [f"{line}."]


def credentials(passwords: Iterable[Credential], today: date) -> list[str]:
    """Return when passwords end, the earliest first, and which have ended or end soon."""
    return [
        f"- Password {code(each.name)} ends {code(each.ends[:10])}{_urgency(each.ends, today)}"
        for each in sorted(passwords, key=lambda each: (each.ends, each.name))
    ]


def _urgency(ends: str, today: date) -> str:
    try:
        left = (date.fromisoformat(ends[:10]) - today).days
    except ValueError:  # known only after the update
        return ""
    if left < 0:
        return ": **it has ended**"
    return f": **in {left} days**" if left <= _SOON else ""


def _traffic(change: Change) -> str:
    split = [each for each in change.properties if each.path.split(".")[0].split("[")[0] == "traffic"]
    if not split:
        return "the settings of traffic shifts change"
    moved = []
    for each in split:
        if isinstance(each.old, dict) and isinstance(each.new, dict):  # the engine names the whole split
            moved += [
                f"{text(name)} {_percent(each.old.get(name))} → {_percent(each.new.get(name))}"
                for name in sorted({*each.old, *each.new})
                if each.old.get(name) != each.new.get(name)
            ]
        else:
            moved.append(f"{_deployment(each)} {_percent(each.old)} → {_percent(each.new)}")
    return f"traffic moves ({', '.join(moved)})"


def _deployment(change: PropertyChange) -> str:
    return text(change.path.removeprefix("traffic").strip('.[]"') or "split")


def _percent(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return "0 %"
    return f"{value:g} %" if isinstance(value, int | float) else text(json.dumps(value, sort_keys=True))


def graph(changes: Sequence[Change]) -> list[str]:
    """Return the dependencies of changes as Mermaid: the 30 riskiest, without arrows that follow from others."""
    shown = sorted(changes, key=lambda change: change.risk)[:_MOST_NODES]
    number = {change.urn: f"n{position}" for position, change in enumerate(shown)}
    lines = ["", "```mermaid", "graph LR"]
    for change in shown:
        words = f"{label(change.kind)}: {label(_OPERATIONS.get(change.op, 'changed'))}"
        lines.append(f'  {number[change.urn]}["{label(change.name)}<br/>{words}"]')
    needs = {change.urn: [urn for urn in dict.fromkeys(change.dependencies) if urn in number] for change in shown}
    for change in shown:
        direct = needs[change.urn]
        # Indirect dependencies follow from the arrows of the direct ones.
        indirect = set().union(*(_dependencies(urn, needs) for urn in direct))
        lines += [f"  {number[source]} --> {number[change.urn]}" for source in direct if source not in indirect]
    lines.append("```")
    if len(changes) > len(shown):
        lines.append(f"_The graph omits {len(changes) - len(shown)} less risky changes._")
    return lines


def _dependencies(urn: str, needs: dict[str, list[str]]) -> set[str]:
    """Return all that a resource depends on, also indirectly."""
    seen: set[str] = set()
    waiting = [urn]
    while waiting:
        new = [each for each in needs[waiting.pop()] if each not in seen]
        seen.update(new)
        waiting += new
    return seen
