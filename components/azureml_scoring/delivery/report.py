"""The report for reviewers: one Markdown text of one or more previews. Pure; owns wording and length, no reading.

Fits a pull request: what the endpoint's clients notice, then changes by risk, with only what differs. The least
important parts are omitted first, and the last line names them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import takewhile
from typing import Any

from azureml_scoring.delivery import image_diff
from azureml_scoring.delivery.changes import UNKNOWN, Change, Credential, Finding, Preview, PropertyChange, Risk
from azureml_scoring.delivery.dependencies import direct
from azureml_scoring.delivery.exposure import exposure
from azureml_scoring.delivery.markdown import code, label, row, text
from azureml_scoring.delivery.prices import Cost, Item, Prices, difference

MARKER = "<!-- azureml-scoring preview -->"
"""Identifies the comment, so that it is edited in place."""

LIMITS = {"github": 64_000, "azure-devops": 150_000}
"""Longest comment in characters; GitHub takes 65,536."""
_MOST_NODES = 30
_SOON = 30
"""Days before its end at which a password's end is urgent."""
_MOST_PROPERTIES = 12
_MOST_NAMES = 8
_MOST_ALIKE = 30
"""Resources with the same change that are named on one line."""
_LONGEST_VALUE = 100
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
    "import-replacement": "replaced",
}


@dataclass(frozen=True)
class _Part:
    """A part of the report; parts with a higher `rank` are omitted first, and not even written."""

    rank: int
    name: str
    lines: Callable[[], Iterable[str]]

    @property
    def text(self) -> str:
        return "\n".join(self.lines())


TITLE = "What this change would do"


def render(
    previews: Sequence[Preview],
    limit: int = LIMITS["github"],
    prices: Prices | None = None,
    title: str = TITLE,
    today: date | None = None,
) -> str:
    """Return the report, at most `limit` characters long; with prices, it estimates costs."""
    parts = [_Part(0, "", lambda: (MARKER, f"## {text(title)}"))]
    for preview in previews:
        parts += [*_stack_parts(preview, prices, today), *_graph_parts(preview)]
    return _within(limit, parts)


def section(preview: Preview, limit: int, prices: Prices | None = None, today: date | None = None) -> str:
    """Return the part of one stack, without title and graph, at most `limit` characters long."""
    return _within(limit, _stack_parts(preview, prices, today))


def _within(limit: int, parts: Sequence[_Part]) -> str:
    kept = _fitting(parts, limit)
    omitted = [part.name for position, part in enumerate(parts) if position not in kept]
    whole = _joined([kept[position] for position in sorted(kept)], omitted)
    if len(whole) <= limit:
        return whole
    note_of_cut = "\n\n_Cut here: the headlines alone are longer than a report may be._\n"
    # Whole lines only: part of a line could leave markup open.
    return whole[: limit - len(note_of_cut)].rpartition("\n")[0] + note_of_cut


def _fitting(parts: Sequence[_Part], limit: int) -> dict[int, str]:
    """Return the texts of the most important parts that fit, by position; those of rank 0 always stay."""
    kept: dict[int, str] = {}
    size = 0
    order = sorted(range(len(parts)), key=lambda n: (parts[n].rank, n))
    for position in order:
        if size > limit and parts[position].rank:
            break
        kept[position] = parts[position].text
        size += len(kept[position]) + 1
    if size > limit:
        for position in reversed(order[: len(kept)]):
            if size + _LONGEST_NOTE <= limit or not parts[position].rank:
                break
            size -= len(kept.pop(position)) + 1
    return kept


_LONGEST_NOTE = 500
"""Characters of the last line, which names what is omitted."""


def _joined(texts: Iterable[str], omitted: list[str]) -> str:
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(texts)).rstrip("\n") + "\n"
    if not omitted:
        return body
    names = ", ".join(dict.fromkeys(omitted))
    shown = names if len(names) <= 400 else f"{len(omitted)} lines and tables"  # noqa: PLR2004 - a line's length
    return f"{body}\n_Omitted, since a report has a limit: {shown}. The job's log has the whole preview._\n"


def _stack_parts(preview: Preview, prices: Prices | None, today: date | None) -> list[_Part]:
    stack = text(preview.stack)
    parts = [_Part(0, "", lambda: ("", f"### {code(preview.stack)}: {headline(preview)}", "", counts(preview), ""))]
    for n, (severity, message) in enumerate(_by_severity(preview.messages)):
        rank = 0 if severity == "error" and n < 5 else 30  # noqa: PLR2004 - the first errors always stay
        parts.append(_line(rank, f"messages of {stack}", f"- **{severity}**: {text(message, 500)}"))
    parts += _finding_parts(stack, preview)
    explained = [
        (f"images of {stack}", images(preview.changes)),
        (f"costs of {stack}", costs(preview.changes, prices) if prices else []),
        (f"credentials of {stack}", credentials(preview.credentials, today or datetime.now(UTC).date())),
    ]
    parts += [_line(9, name, *lines) for name, lines in explained if lines]
    replaced = {change.urn: change.name for change in preview.changes if change.op == "replace"}
    for risk in Risk:
        if changes := [change for change in preview.changes if change.risk is risk]:
            parts += _risk_parts(preview.stack, risk, changes, replaced)
    return parts


def _graph_parts(preview: Preview) -> list[_Part]:
    risky = [change for change in preview.changes if change.risk < Risk.IMPORTED]
    return [_Part(100, f"graph of {text(preview.stack)}", lambda: graph(risky))] if len(risky) > 1 else []


def _line(rank: int, name: str, *lines: str) -> _Part:
    return _Part(rank, name, lambda: lines)


_LEVELS = ("mandatory", "error", "advisory", "warning", "info")


def _finding_parts(stack: str, preview: Preview) -> list[_Part]:
    """Return the violations of policies and image requirements, the worst first."""
    parts = []
    for n, finding in enumerate(sorted(preview.findings, key=_level)):
        rank = 0 if finding.forbids and n < 5 else 9 if finding.forbids else 30 + _level(finding)  # noqa: PLR2004 - as above
        on = f" on {_several(list(finding.resources))}" if finding.resources else ""
        line = f"- **{text(finding.level)}** {code(finding.rule)}{on}: {text(finding.text, 500)}"
        parts.append(_line(rank, f"findings of {stack}", line))
    if preview.unjudged:
        rules = _several(list(preview.unjudged))
        line = f"- **info**: judged in the update only, when all values are known: {rules}"
        parts.append(_line(40, f"findings of {stack}", line))
    return parts


def _level(finding: Finding) -> int:
    return _LEVELS.index(finding.level) if finding.level in _LEVELS else len(_LEVELS)


def _by_severity(messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(messages, key=lambda message: message[0] != "error")


def _risk_parts(stack: str, risk: Risk, changes: list[Change], replaced: dict[str, str]) -> list[_Part]:
    title = _TITLES[risk]
    name = f"{title.lower()} of {text(stack)}"
    parts = []
    for n, alike in enumerate(_alike(changes, replaced)):
        # Details are omitted before the changes themselves, the least risky first; a title goes with its first change.
        above = () if n else ("", f"**{title}**", "")
        parts.append(_Part(20 + risk, f"changes: {name}", partial(_head, alike, replaced, above)))
        if _rows(alike[0]):
            parts.append(_Part(50 + risk, f"details: {name}", partial(_table, alike[0])))
    return parts


def _alike(changes: Iterable[Change], replaced: dict[str, str]) -> Iterable[list[Change]]:
    """Group the resources that are created, or that change in the same way for the same reason; others stand alone."""
    groups: dict[object, list[Change]] = {}
    for change in changes:
        rows = tuple((each.path, _comparable(each.old), _comparable(each.new)) for each in _rows(change))
        same = (change.op, _why(change, replaced), rows) if rows or change.op == "create" else change.urn
        groups.setdefault(same, []).append(change)
    return groups.values()


def _comparable(value: Any) -> object:  # noqa: ANN401 - JSON
    return repr(value) if isinstance(value, dict | list) else (type(value), value)


def _head(alike: list[Change], replaced: dict[str, str], above: Iterable[str]) -> list[str]:
    first = alike[0]
    names = [f"{code(change.name)} ({text(change.kind)})" for change in alike[:_MOST_ALIKE]]
    if len(alike) > _MOST_ALIKE:
        names.append(f"{len(alike) - _MOST_ALIKE} more")
    return [*above, f"- {', '.join(names)} {_done(first, several=len(alike) > 1)}{_why(first, replaced)}"]


def _done(change: Change, *, several: bool) -> str:
    """Say what happens, after the names of the resources."""
    if change.is_new_version:
        return f"get{'' if several else 's'} **a new version**"
    if change.op == "delete" and change.retained:
        return "leave the stack and **stay on Azure**" if several else "leaves the stack and **stays on Azure**"
    origin = {"import": " from", "import-replacement": " by"}.get(change.op)
    what = f"**{text(_OPERATIONS.get(change.op, change.op))}**"
    return f"{'are' if several else 'is'} {what}{f'{origin} {_value(change.imported)}' if origin else ''}"


def _why(change: Change, replaced: dict[str, str]) -> str:
    """Say why a replacement happens: its own properties, or its dependencies."""
    if change.op != "replace" or change.is_new_version:
        return ""
    if reasons := [each.path for each in change.properties if each.replaces]:
        return f" because {_several(reasons)} cannot change in place"
    needed = [replaced[urn] for urn in change.dependencies if urn in replaced]
    return f" because {_several(needed)} {'are' if len(needed) > 1 else 'is'} replaced" if needed else ""


def _several(names: list[str]) -> str:
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*(code(name) for name in names[:_MOST_NAMES]), *more])


def _rows(change: Change) -> Sequence[PropertyChange]:
    """Return the properties that are shown; the line of an image says its content key."""
    if change.kind == "ImageBuild":
        return [each for each in change.properties if each.path != "contentKey"]
    return change.properties


def _table(change: Change) -> list[str]:
    rows = _rows(change)
    shown = rows[:_MOST_PROPERTIES]
    lines = ["", row("property", "old", "new"), row("---", "---", "---")]
    lines += [row(code(each.path), *_values(each.old, each.new)) for each in shown]
    if len(rows) > len(shown):
        lines.append(row(f"and {len(rows) - len(shown)} more", "", ""))
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
    if len(shown) > _LONGEST_VALUE and " " not in shown:
        shown = f"…{shown[1 - _LONGEST_VALUE :]}"  # the end of an id or an image names it
    return code(shown, _LONGEST_VALUE)


def _plain(value: Any) -> str:  # noqa: ANN401 - JSON
    shown = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return shown.replace(UNKNOWN, "known after the update")


def counts(preview: Preview) -> str:
    """Return the line of numbers below a headline."""
    numbers = Counter(effect(change) for change in preview.changes)
    order = [*dict.fromkeys(_OPERATIONS.values()), _NEW_VERSION, _STAYING]
    words = sorted(numbers, key=lambda word: order.index(word) if word in order else len(order))
    return ", ".join([*(f"{numbers[word]} {word}" for word in words), f"{preview.unchanged} unchanged"])


_NEW_VERSION, _STAYING = "with a new version", "staying on Azure"


def effect(change: Change) -> str:
    """Return what happens to a resource, in a word or two."""
    if change.is_new_version:
        return _NEW_VERSION
    if change.op == "delete" and change.retained:
        return _STAYING
    return _OPERATIONS.get(change.op, change.op)


def headline(preview: Preview) -> str:
    """Return who reaches what from now on, and what the endpoint's clients notice."""
    if any(severity == "error" for severity, _ in preview.messages):
        return "the preview failed"
    if preview.failed:
        return "a rule forbids it"
    kinds = {(change.kind, change.op) for change in preview.changes}
    effects = [effect for causes, effect in _HEADLINES if kinds & causes]
    # A pinned deployment serves on, whatever is built.
    served = any(change.risk is Risk.IMAGE and change.kind == "OnlineDeployment" for change in preview.changes)
    if not any("endpoint" in effect for effect in effects):
        if ("OnlineDeployment", "replace") in kinds:
            effects.append("a deployment is replaced: no answers of it meanwhile")
        if served:
            effects.append("clients get answers of another image")
    roots = {(change.kind, root) for change in preview.changes if change.op == "update" for root in change.roots}
    effects += [effect for causes, effect in _UPDATES if roots & causes]
    effects += [_traffic(change) for change in preview.changes if change.risk is Risk.TRAFFIC and change.op == "update"]
    if effects := [*exposure(preview.changes), *effects]:
        return "; ".join(effects)
    return "nothing changes" if not preview.changes else "clients notice nothing"


_HEADLINES: tuple[tuple[set[tuple[str, str]], str], ...] = (
    (
        {("OnlineEndpoint", "replace")},
        "the endpoint is replaced: no answers meanwhile, new keys, its URL may change",
    ),
    ({("OnlineEndpoint", "delete")}, "the endpoint is deleted"),
    ({("OnlineEndpoint", "create")}, "a new endpoint"),
    ({("Registry", "replace"), ("Registry", "delete")}, "a registry is deleted with its images"),
    (
        {("ApplicationPassword", "replace"), ("ApplicationPassword", "delete")},
        "pulls with a deleted password may be refused",
    ),
)


_UPDATES: tuple[tuple[set[tuple[str, str]], str], ...] = (
    ({("OnlineEndpoint", "authMode")}, "clients sign in in another way"),
    (
        {("OnlineDeployment", name) for name in ("environmentVariables", "modelMountPath", "routes")},
        "answers may differ: a deployment gets other settings",
    ),
)
"""What clients notice of a property that is updated, by kind and property."""


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
    lines += [f"  - other {words}" for name, words in _BUILT_FROM.items() if name in change.differing]
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


def costs(changes: Sequence[Change], prices: Prices) -> list[str]:
    """Return how the monthly cost changes, as an estimate, and what it does not cover."""
    cost = difference(changes, prices)
    if cost is None:
        return []
    lines = [_monthly(cost, prices.currency)] if cost.monthly else ["- Costs change by use alone"]
    if cost.used:
        lines.append(f"  - by use: {', '.join(_used(item, cost, prices.currency) for item in cost.used)}")
    if cost.unknown:
        lines.append(f"  - no price is known of {_unknown(cost)}; `azureml-scoring prices` reads list prices")
    if cost.scaled:
        lines.append("  - autoscale may set other numbers of instances")
    if cost.known:
        lines.append(f"  - an estimate from list prices: {_sources(cost)}")
    return lines


def _monthly(cost: Cost, currency: str) -> str:
    items = []
    for item, number in cost.monthly.items():
        each = cost.of(item)
        items.append(f"{code(item.name)} {number:+d}{'' if each is None else f' ({each:+,.0f} {currency})'}")
    total = "by an unknown amount" if cost.total is None else f"by about **{cost.total:+,.0f} {currency}** a month"
    return f"- Costs change {total}: {', '.join(items)}"


def _used(item: Item, cost: Cost, currency: str) -> str:
    price = cost.known.get(item)
    each = f" ({price.price:g} {currency} for {text(price.unit)})" if price else ""
    return f"{code(item.name)} {cost.used[item]:+d}{each}"


def _unknown(cost: Cost) -> str:
    names: dict[str, list[str]] = {}
    for item in cost.unknown:
        names.setdefault(item.location or "an unknown region", []).append(code(item.name))
    return "; ".join(f"{', '.join(each)} in {code(region)}" for region, each in names.items())


def _sources(cost: Cost) -> str:
    return "; ".join(sorted({f"{code(item.location)}, {text(price.dated)}" for item, price in cost.known.items()}))


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
    split = [each for each in change.properties if each.root == "traffic"]
    if not split:
        return "the settings of traffic shifts change"
    moved = [f"{_deployment(each)} {_percent(each.old)} → {_percent(each.new)}" for each in split]
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
    for urn, sources in direct(shown).items():
        lines += [f"  {number[source]} --> {number[urn]}" for source in sources]
    lines.append("```")
    if len(changes) > len(shown):
        lines.append(f"_The graph omits {len(changes) - len(shown)} less risky changes._")
    return lines
