"""`azureml-scoring`: reports of previews, comments, recovery, rollouts. Owns arguments and exit codes."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from azureml_scoring.delivery import comment, drift, prices, report
from azureml_scoring.delivery.changes import Preview, PreviewError, read, with_policies
from azureml_scoring.delivery.pending import Decisions, StateError
from azureml_scoring.delivery.rollout_plan import RolloutError

_LIMITS = {"github": report.GITHUB, "azure-devops": report.AZURE_DEVOPS}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; 2 with one line where it cannot be done."""
    asked = _parser().parse_args(words)
    try:
        if asked.command == "recover":
            return _recover(asked)
        if asked.command in {"rollout", "rollback", "pin"}:
            return _roll(asked)
        if asked.command == "report":
            _report(asked)
        else:
            _comment(asked)
    except (PreviewError, prices.PricesError, comment.CommentError, StateError, RolloutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="azureml-scoring", description="What a change would do, for reviewers.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("report", help="write one comment out of what `pulumi preview --json` printed")
    made.add_argument(
        "previews",
        nargs="*",
        metavar="PREVIEW.json",
        help="a preview; - reads standard input; PREVIEW.events beside it is the event log",
    )
    made.add_argument(
        "--stack", action="append", default=[], metavar="NAME=FILE", help="a preview and the name to show for its stack"
    )
    made.add_argument("--limit", default="github", type=_limit, help="github, azure-devops or a number of characters")
    made.add_argument("--prices", type=Path, default=prices.TABLE, metavar="FILE", help="another table of prices")
    made.add_argument(
        "--drift", action="store_true", help="tell what has drifted, of `pulumi preview --refresh --json`"
    )
    made.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to standard output")
    put = commands.add_parser("comment", help="put a report on the pull request, or edit the one that is there")
    put.add_argument("report", type=Path, metavar="REPORT.md")
    put.add_argument("--to", required=True, choices=["github", "azure-devops"])
    put.add_argument("--pull-request", type=int, metavar="NUMBER", help="instead of what the CI's environment says")
    back = commands.add_parser("recover", help="after a killed `pulumi up`: make state and Azure fit again")
    back.add_argument("stack", nargs="?", metavar="STACK", help="instead of the one that is selected")
    back.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    back.add_argument("--yes", action="store_true", help="do it without asking")
    back.add_argument(
        "--adopt", action="append", default=[], metavar="NAME=ID", help="a pending resource is there, under this id"
    )
    back.add_argument("--drop", action="append", default=[], metavar="NAME", help="a pending resource is not there")
    back.add_argument("--copies", type=Path, metavar="FOLDER", help="where the state is kept, instead of .local/states")
    roll = commands.add_parser("rollout", help="take one version through stacks, beside the one that serves")
    roll.add_argument("stacks", nargs="+", metavar="STACK", help="in this order; the first one builds")
    roll.add_argument("--from", dest="source", default="", metavar="STACK", help="take what this stack serves")
    roll.add_argument("--approve", action="append", default=[], metavar="STACK", help="say yes for a stack that asks")
    roll.add_argument("--dry-run", action="store_true", help="say what would be done")
    undo = commands.add_parser("rollback", help="go back to the version that served before")
    undo.add_argument("stack", metavar="STACK")
    undo.add_argument("--dry-run", action="store_true", help="say what would be done")
    pin = commands.add_parser("pin", help="write what serves into the stacks' files, before a preview or an up")
    pin.add_argument("stacks", nargs="+", metavar="STACK")
    pin.add_argument("--next", dest="following", action="store_true", help="and what the next version would change")
    return parser


def _limit(value: str) -> int:
    found = _LIMITS.get(value) or (int(value) if value.isdigit() else 0)
    if found < 1000:  # noqa: PLR2004 - below this not even headlines fit
        raise argparse.ArgumentTypeError(f"{value!r}: write github, azure-devops or a number of at least 1000")
    return found


def _report(asked: argparse.Namespace) -> None:
    given: list[tuple[str, str]] = [("", name) for name in asked.previews]
    for pair in asked.stack:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise PreviewError(f"--stack {pair!r}: write NAME=FILE")
        given.append((name, file))
    if not given:
        raise PreviewError("no preview is given: name a file with what `pulumi preview --json` printed")
    previews = [_read(stack, file) for stack, file in given]
    title = report.TITLE
    if asked.drift:
        previews, title = [drift.drifted(preview) for preview in previews], drift.TITLE
    found = report.render(previews, asked.limit, prices.load(asked.prices), title)
    if asked.out:
        asked.out.write_text(found, encoding="utf-8")
    else:
        sys.stdout.write(found)


def _read(stack: str, file: str) -> Preview:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = read(text, stack)
        if not found.stack:  # nothing in it names its stack
            found = replace(found, stack=Path(file).stem)
        log = Path(file).with_suffix(".events")
        return with_policies(found, log.read_text(encoding="utf-8")) if file != "-" and log.is_file() else found
    except (OSError, UnicodeDecodeError) as error:
        raise PreviewError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except PreviewError as error:
        raise PreviewError(f"{file}: {error}") from None


def _comment(asked: argparse.Namespace) -> None:
    try:
        body = asked.report.read_text(encoding="utf-8")
    except OSError as error:
        raise comment.CommentError(f"{asked.report}: cannot be read ({error.strerror})") from None
    place = comment.place_of(asked.to, os.environ, asked.pull_request)
    print(f"The comment was {comment.post(place, body)}.")


def _recover(asked: argparse.Namespace) -> int:
    adopt: dict[str, str] = {}
    for pair in asked.adopt:
        name, equals, id_ = pair.partition("=")
        if not (name and equals and id_):
            raise StateError(f"--adopt {pair!r}: write NAME=ID")
        adopt[name] = id_
    folder = Path.cwd()
    if not (folder / "Pulumi.yaml").exists():
        raise StateError(f"{folder}: no Pulumi.yaml here; change to the project's folder")
    # Azure's clients are slow to import, and a report needs none.
    from azureml_scoring.delivery import recover  # noqa: PLC0415

    done = recover.recover(
        folder,
        asked.stack or recover.selected(folder),
        agree=lambda _: not asked.dry_run and (asked.yes or _agreed()),
        decisions=Decisions(adopt, frozenset(asked.drop)),
        copies=asked.copies or recover.COPIES,
    )
    return 0 if done or asked.dry_run else 1


def _roll(asked: argparse.Namespace) -> int:
    root = Path.cwd()
    if not (root / "Pulumi.yaml").exists():
        raise RolloutError(f"{root}: no Pulumi.yaml here; change to the project's folder")
    from azureml_scoring.delivery import rollout  # noqa: PLC0415 - as above

    work = rollout.Rollout(root, partial(print, flush=True), rollout.person())
    if asked.command == "rollback":
        return work.rollback(asked.stack, dry_run=asked.dry_run)
    if asked.command == "pin":
        return work.pin(asked.stacks, following=asked.following)
    return work.roll(rollout.Asked(asked.stacks, asked.source, frozenset(asked.approve), asked.dry_run))


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise StateError("nobody can be asked here: say --yes, or --dry-run to see the plan only")
    return input("Do this? [y/N] ").strip().lower() in {"y", "yes"}


if __name__ == "__main__":
    sys.exit(main())
