"""`azureml-scoring COMMAND`: arguments, help texts and exit codes. Refuses to own what a command does.

Each command imports its own modules, so that help and completion are fast.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click
from click.shell_completion import CompletionItem

from azureml_scoring.errors import CommandError, ExitCode

if TYPE_CHECKING:
    from azureml_scoring.delivery.rollout import Rollout

PROGRAM: Final = "azureml-scoring"
_SMALLEST_REPORT: Final = 1000
"""Characters; below this not even headlines fit."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; what cannot be done is one line on standard error, and exit code 2."""
    arguments = [*(sys.argv[1:] if words is None else words)] or ["--help"]
    try:
        return int(cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or ExitCode.OK)
    except click.Abort:
        _complain("interrupted")
        return ExitCode.INTERRUPTED
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else PROGRAM
        _complain(f"{error.format_message().rstrip('.')}; see `{command} --help`")
    except click.ClickException as error:
        _complain(error.format_message())
    except CommandError as error:
        for line in str(error).splitlines():
            _complain(line)
    return ExitCode.USAGE


def _complain(text: str) -> None:
    click.echo(f"error: {' '.join(text.split())}", err=True)


def _examples(*lines: str) -> str:
    """Format examples for the end of a help text; the backspace keeps click from filling the paragraph."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def _stacks(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete a stack's name by the stack files of the project."""
    names = sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in Path().glob("Pulumi.*.yaml"))
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def _pairs(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in values)]
    for pair, (name, value) in zip(values, pairs, strict=True):
        if not (name and value):
            raise click.BadParameter(f"{pair!r}: write {parameter.metavar}")
    return pairs


def _limit(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    from azureml_scoring.delivery.report import LIMITS

    characters = LIMITS.get(value) or (int(value) if value.isdigit() else 0)
    if characters < _SMALLEST_REPORT:
        raise click.BadParameter(f"{value!r}: write github, azure-devops or a number of at least {_SMALLEST_REPORT}")
    return characters


def _project() -> Path:
    folder = Path.cwd()
    if not (folder / "Pulumi.yaml").exists():
        raise CommandError(f"{folder}: no Pulumi.yaml here; change to the project's folder")
    return folder


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


_FILE: Final = click.Path(path_type=Path)
_OUTPUT: Final = click.File("w", encoding="utf-8")
_SCHEMA: Final = "schema/pulumi-stack.schema.json"
_JSON_LINES: Final = click.option(
    "--json", "as_json", is_flag=True, help="Write one JSON object a line: an event each."
)
_DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_examples(
        "azureml-scoring doctor dev                          # before the first `pulumi up`",
        "azureml-scoring report dev.json                     # a preview, for the reviewers of a pull request",
        "azureml-scoring rollout dev staging prod            # one version through three stacks",
        "azureml-scoring recover prod                        # after a killed `pulumi up`",
        'eval "$(_AZUREML_SCORING_COMPLETE=bash_source azureml-scoring)"    # completion; zsh_source, fish_source',
    )
    + "\n\n\b\nExit codes:\n  0  done\n  1  a step failed, something is wrong, or a question was answered with no\n"
    "  2  wrong arguments or files; nothing was done\n  3  a stack waits for approval (rollout)\n"
    "  4  another run holds the stack (rollout)\n  130  interrupted",
)
@click.version_option(package_name=PROGRAM)
def cli() -> None:
    """Check, review, roll out and repair stacks that serve a custom image on Azure Machine Learning."""


@cli.command(
    "report",
    epilog=_examples(
        "pulumi preview --json > dev.json; azureml-scoring report dev.json",
        "azureml-scoring report --limit azure-devops --out report.md previews/*.json",
        "azureml-scoring report --stack production=prod.json",
        "pulumi preview --json --show-sames | azureml-scoring report --html --out report.html -",
        "pulumi preview --refresh --json | azureml-scoring report --drift -",
    ),
)
@click.argument("previews", nargs=-1, metavar="[PREVIEW.json]...")
@click.option("--stack", "named", multiple=True, metavar="NAME=FILE", callback=_pairs, help="A preview of this stack.")
@click.option("--limit", default="github", callback=_limit, help="Longest comment: github, azure-devops or characters.")
@click.option("--prices", "table", type=_FILE, metavar="FILE", help="Prices; else prices.json, or built-in ones.")
@click.option("--drift", "show_drift", is_flag=True, help="Report drift, from `pulumi preview --refresh --json`.")
@click.option("--html", "as_html", is_flag=True, help="Write one HTML page, with the graph of each stack drawn.")
@click.option("--out", type=_OUTPUT, default="-", metavar="FILE", help="Write there instead of to standard output.")
def write_report(  # noqa: PLR0913 - one parameter an option
    *,
    previews: tuple[str, ...],
    named: list[tuple[str, str]],
    limit: int,
    table: Path | None,
    show_drift: bool,
    as_html: bool,
    out: TextIO,
) -> None:
    """Write a report of previews for reviewers: Markdown for a comment, or a page that needs no other file.

    PREVIEW.json holds the output of `pulumi preview --json`, classic or streaming; - reads standard input. The policy
    violations are read from PREVIEW.events beside it, where `--event-log` wrote it.
    """
    from azureml_scoring.delivery import changes, drift, prices, report

    files = [("", name) for name in previews] + named
    if not files:
        raise click.UsageError("Missing argument 'PREVIEW.json': a file with the output of `pulumi preview --json`")
    read = [changes.load(file, stack) for stack, file in files]
    title = report.TITLE
    if show_drift:
        read, title = [drift.drifted(preview) for preview in read], drift.TITLE
    if as_html:
        from azureml_scoring.delivery import html_report

        out.write(html_report.render(read, prices=prices.load(table), title=title))
    else:
        out.write(report.render(read, limit, prices.load(table), title))


@cli.command(
    "prices",
    epilog=_examples(
        "azureml-scoring prices --region westeurope --instance-type Standard_F2s_v2    # into prices.json",
        "azureml-scoring prices                                                        # the same, anew",
    ),
)
@click.argument("table", default="prices.json", type=_FILE, metavar="[TABLE.json]")
@click.option("--region", "regions", multiple=True, metavar="NAME", help="A region, besides those of the table.")
@click.option("--instance-type", "types", multiple=True, metavar="NAME", help="An instance type, besides the table's.")
@click.option("--currency", metavar="CODE", help="Currency; by default the table's, or USD.")
def read_prices(*, table: Path, regions: tuple[str, ...], types: tuple[str, ...], currency: str | None) -> None:
    """Read Azure's list prices for reports.

    No account is needed. TABLE.json is prices.json, where `report` reads it, or another file. It is written anew with
    today's prices: of the regions and instance types that it names, and of registries, storage, key vaults and logs. A
    new table has the instance types of the built-in one.
    """
    from azureml_scoring.delivery import prices, retail

    before = prices.load(table if table.exists() else prices.TABLE)
    known = before.regions if table.exists() or not regions else {}
    names = [name for named in before.regions.values() for name in named]
    result = retail.refreshed(
        currency or before.currency, [*known, *regions], [*names, *types], datetime.now(UTC).date()
    )
    prices.write(result.prices, table)
    for name in result.missing:
        click.echo(f"no list price: {name}", err=True)
    click.echo(f"{sum(map(len, result.prices.regions.values()))} prices of {', '.join(result.prices.regions)}: {table}")


@cli.command(
    "comment",
    epilog=_examples(
        "azureml-scoring comment --to github report.md                          # in a pull request's job",
        "azureml-scoring comment --to azure-devops --pull-request 7 report.md",
    ),
)
@click.argument("report", type=click.File(encoding="utf-8", errors="replace"), metavar="REPORT.md")
@click.option("--to", "service", required=True, type=click.Choice(["github", "azure-devops"]))
@click.option("--pull-request", type=int, metavar="NUMBER", help="Instead of the one in the CI's environment.")
def post_comment(report: TextIO, service: str, pull_request: int | None) -> None:
    """Put a report on a pull request, or update it.

    Repository, pull request and token come from the CI's variables: GITHUB_REPOSITORY, GITHUB_REF and GITHUB_TOKEN, or
    those of Azure Pipelines and SYSTEM_ACCESSTOKEN.
    """
    from azureml_scoring.delivery.comment import post, pull_request_of

    target = pull_request_of(service, os.environ, pull_request)
    click.echo(f"The comment was {post(target, report.read())}.")


@cli.command(
    "pin",
    epilog=_examples(
        "azureml-scoring pin dev              # then `pulumi up --stack dev` leaves the version alone",
        "azureml-scoring pin --next dev       # then `pulumi preview --stack dev` shows the next rollout",
    ),
)
@click.argument("stacks", nargs=-1, required=True, metavar="STACK...", shell_complete=_stacks)
@click.option("--next", "following", is_flag=True, help="Leave the idle deployment to the next version.")
def pin_versions(stacks: tuple[str, ...], *, following: bool) -> int:
    """Write the serving versions into stack files.

    A checkout that is older than the last rollout needs it before `pulumi preview` or `pulumi up`.
    """
    with _rollout(has_summary=False) as rollout:
        return rollout.pin(stacks, following=following)


@cli.command(
    "rollout",
    epilog=_examples(
        "azureml-scoring rollout dev staging prod                  # dev builds; the others take its image by digest",
        "azureml-scoring rollout dev staging prod --approve prod   # goes on after approval",
        "azureml-scoring rollout --from staging prod",
    ),
)
@click.argument("stacks", nargs=-1, required=True, metavar="STACK...", shell_complete=_stacks)
@click.option("--from", "source", default="", metavar="STACK", shell_complete=_stacks, help="Take its version.")
@click.option("--approve", multiple=True, metavar="STACK", shell_complete=_stacks, help="Approve this stack.")
@_DRY_RUN
@_JSON_LINES
def roll_out(stacks: tuple[str, ...], source: str, approve: tuple[str, ...], *, dry_run: bool, as_json: bool) -> int:
    """Take one version through stacks, in this order.

    Each stack gets it beside the version that serves. The first stack builds the image, unless --from names a stack
    whose version is taken. Traffic moves only after the new version has answered the requests of `rollout.checks`. A
    run that was interrupted can be repeated.
    """
    with _rollout(as_json=as_json) as rollout:
        return rollout.roll(stacks, source=source, approved=approve, dry_run=dry_run)


@cli.command("rollback", epilog=_examples("azureml-scoring rollback prod", "azureml-scoring rollback --dry-run prod"))
@click.argument("stack", metavar="STACK", shell_complete=_stacks)
@_DRY_RUN
@_JSON_LINES
def roll_back(stack: str, *, dry_run: bool, as_json: bool) -> int:
    """Go back to the version that served before.

    It also ends a shift of traffic that was interrupted.
    """
    with _rollout(as_json=as_json) as rollout:
        return rollout.rollback(stack, dry_run=dry_run)


@contextmanager
def _rollout(*, as_json: bool = False, has_summary: bool = True) -> Iterator["Rollout"]:
    """Show what a rollout does: lines and a table, or one JSON object a line; and the summary on the job's page."""
    project = _project()
    from azureml_scoring.delivery.rollout import Rollout
    from azureml_scoring.delivery.rollout_events import Event
    from azureml_scoring.delivery.rollout_summary import show, write_summary

    def tell(event: Event) -> None:
        if line := event.json if as_json else event.text:
            click.echo(line)

    rollout = Rollout(project, tell, click.confirm if _is_interactive() and not as_json else None)
    yield rollout
    for line in [] if as_json else ["", *show(rollout.rows)]:
        click.echo(line)
    if has_summary and (line := write_summary(rollout.rows)):
        # Standard output holds JSON alone; the agent reads commands off standard error as well.
        click.echo(line, err=as_json)


@cli.command(
    "status",
    epilog=_examples(
        "azureml-scoring status dev staging prod",
        "azureml-scoring status --watch 30 prod      # while a rollout runs",
        "azureml-scoring status --json prod | jq '.[].traffic'",
    ),
)
@click.argument("stacks", nargs=-1, required=True, metavar="STACK...", shell_complete=_stacks)
@click.option("--minutes", type=click.IntRange(1, 1440), default=10, show_default=True, help="Measured time.")
@click.option("--watch", type=click.FloatRange(min=1), metavar="SECONDS", help="Refresh until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array instead of a table.")
def show_status(stacks: tuple[str, ...], minutes: int, watch: float | None, *, as_json: bool) -> int:
    """Show what stacks serve.

    For each deployment: version, share of the traffic, requests, errors and latency of the last minutes (Azure Monitor
    is some minutes behind), age, and the end of the pull principal's password.
    """
    project = _project()
    from azureml_scoring.delivery.engine import PulumiStack
    from azureml_scoring.delivery.status import Status, show
    from azureml_scoring.provider.arm import connect

    status = Status(lambda name: PulumiStack(project, name).export(), connect, minutes)
    while True:
        entries = status.read(stacks)
        lines = [json.dumps([each.document() for each in entries])] if as_json else show(entries, status.now())
        if watch and not as_json:
            click.clear()
        for line in lines:
            click.echo(line)
        if not watch:
            return ExitCode.FAILED if any(each.problem for each in entries) else ExitCode.OK
        time.sleep(watch)


@cli.command(
    "recover",
    epilog=_examples(
        "azureml-scoring recover --dry-run prod",
        "azureml-scoring recover --yes prod",
        "azureml-scoring recover prod --drop scoring-endpoint --adopt scoring-vault=/subscriptions/…/vaults/kv-1",
    ),
)
@click.argument("stack", required=False, default="", metavar="[STACK]", shell_complete=_stacks)
@_DRY_RUN
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--adopt", multiple=True, metavar="NAME=ID", callback=_pairs, help="A pending resource exists: its id.")
@click.option("--drop", multiple=True, metavar="NAME", help="A pending resource does not exist.")
@click.option("--copies", type=_FILE, metavar="FOLDER", help="Where the state is saved, instead of .local/states.")
def recover_stack(  # noqa: PLR0913 - one parameter an option
    *, stack: str, dry_run: bool, yes: bool, adopt: list[tuple[str, str]], drop: tuple[str, ...], copies: Path | None
) -> int:
    """Repair a stack after a killed `pulumi up`.

    Saves the state, unlocks the stack (STACK, or the selected one), adopts what Azure has of the pending resources and
    of those that no run has recorded, and refreshes, so that state and Azure agree. The next `pulumi up` finishes the
    interrupted one.
    """
    project = _project()
    from azureml_scoring.delivery.engine import PulumiStack, selected_stack
    from azureml_scoring.delivery.pending import Decisions
    from azureml_scoring.delivery.recover import recover

    def confirm(_plan: object) -> bool:
        if dry_run or yes:
            return yes and not dry_run
        if not _is_interactive():
            raise CommandError("no terminal to ask on: add --yes, or --dry-run to see the plan only")
        return click.confirm("Do this?")

    decisions = Decisions(dict(adopt), frozenset(drop))
    target = PulumiStack(project, stack or selected_stack(project), click.echo)
    done = recover(target, confirm, decisions=decisions, copies=copies)
    return ExitCode.OK if done or dry_run else ExitCode.FAILED


@cli.command(
    "doctor",
    epilog=_examples(
        "azureml-scoring doctor prod                         # before the first `pulumi up`",
        "azureml-scoring doctor --json prod",
    ),
)
@click.argument("stack", required=False, default="", metavar="[STACK]", shell_complete=_stacks)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check_stack(stack: str, *, as_json: bool) -> int:
    """Check whether Azure lets a stack be made.

    Who is signed in, resource providers, rights, names, quota, ACR Tasks: a line each with its remedy, for STACK or the
    selected one. Nothing is changed. Exit code 1 where something is wrong; what cannot be looked at is unknown, and
    not wrong.
    """
    project = _project()
    from azureml_scoring.delivery.doctor import doctor
    from azureml_scoring.delivery.engine import selected_stack

    return doctor(project, stack or selected_stack(project), click.echo, as_json=as_json)


@cli.command(
    "convert",
    epilog=_examples(
        "azureml-scoring convert endpoint.yml blue.yml green.yml --out Pulumi.old.yaml",
        "azureml-scoring convert blue.yml --workspace /subscriptions/…/workspaces/ml --set model=azureml:iris@latest",
    ),
)
@click.argument("files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=_FILE, metavar="FILE", help="The stack file: Pulumi.STACK.yaml beside Pulumi.yaml.")
@click.option("--workspace", default="", metavar="ID", help="ARM id of the workspace; else a new one is created.")
@click.option("--location", default="", help="Azure region, short form, where the files name none.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", callback=_pairs, help="As az ml has it.")
def convert_yaml(
    *, files: tuple[Path, ...], out: Path | None, workspace: str, location: str, changes: list[tuple[str, str]]
) -> None:
    """Convert YAML of az ml to a stack file.

    Reads what `az ml online-endpoint create -f` and `az ml online-deployment create -f` read: the endpoint and its
    deployments. Without --out nothing is written: the stack file goes to standard output. What is done in another way,
    or not at all, is listed on standard error.
    """
    from azureml_scoring.convert.v2.files import convert_files

    text, notes = convert_files(files, out, changes=changes, workspace=workspace, location=location)
    _show_converted(text, notes, out)


@cli.command(
    "convert-v1",
    epilog=_examples(
        "azureml-scoring convert-v1 inferenceconfig.json deploymentconfig.json --name myservice",
        "azureml-scoring convert-v1 inferenceconfig.json --model mymodel:3 --out Pulumi.old.yaml",
    ),
)
@click.argument("inference", type=_FILE, metavar="INFERENCECONFIG")
@click.argument("deployment", type=_FILE, required=False, metavar="[DEPLOYMENTCONFIG]")
@click.option("--out", type=_FILE, metavar="FILE", help="The stack file: Pulumi.STACK.yaml beside Pulumi.yaml.")
@click.option("--name", default="", help="Name of the endpoint: what `az ml model deploy -n` named.")
@click.option("--compute", default="", metavar="NAME", help="Attached Kubernetes compute, or its ARM id; else managed.")
@click.option("-m", "--model", default="", help="NAME:VERSION of a registered model, or the path of a folder or file.")
@click.option("--location", default="", help="Azure region, short form, where the files name none.")
def convert_v1(  # noqa: PLR0913 - one parameter an option
    *, inference: Path, deployment: Path | None, out: Path | None, name: str, compute: str, model: str, location: str
) -> None:
    """Convert Azure ML v1 configs to a stack file.

    Reads the inference and the deployment config; an image that v2 must build gets a Dockerfile. Without --out nothing
    is written: the stack file goes to standard output. What v2 does otherwise, or not at all, is listed on standard
    error.
    """
    from azureml_scoring.convert.v1.files import convert_files

    text, notes = convert_files(inference, deployment, out, name=name, compute=compute, model=model, location=location)
    _show_converted(text, notes, out)


@cli.command(
    "adopt",
    epilog=_examples(
        "azureml-scoring adopt /subscriptions/…/workspaces/ml/onlineEndpoints/iris    # show the file",
        "azureml-scoring adopt /subscriptions/…/workspaces/ml/onlineEndpoints/iris --stack prod",
    ),
)
@click.argument("endpoint", metavar="ENDPOINT-ARM-ID")
@click.option("--stack", default="", metavar="STACK", help="Write its file, and take the endpoint into its state.")
def adopt_endpoint(endpoint: str, stack: str) -> int:
    """Take over a live endpoint.

    Reads a managed endpoint that portal, Azure CLI or SDK have made, with its deployments, and describes it by a stack
    file. With --stack the file is written, the stack is created unless it exists, and endpoint, deployments and traffic
    come into its state: the first `pulumi up` writes nothing. Without it nothing is written: the stack file goes to
    standard output. Nothing is changed on Azure. What stays outside of the stack is listed on standard error.

    Exit code 1 where the first `pulumi up` would write something.
    """
    from azureml_scoring.convert.live import adopt_file
    from azureml_scoring.delivery.adopt import adopt
    from azureml_scoring.delivery.engine import PulumiStack
    from azureml_scoring.provider.arm import connect

    project = _project() if stack else None
    out = project / f"Pulumi.{stack.rpartition('/')[2]}.yaml" if project else None
    text, notes, id_ = adopt_file(connect(), endpoint, out)
    _show_converted(text, notes, out)
    if project is None:
        return ExitCode.OK
    adoption = adopt(PulumiStack(project, stack, lambda _: None), id_)
    click.echo(f"{out}: describes endpoint {id_.rpartition('/')[2]}. Nothing was changed on Azure.")
    for line in adoption.taken:
        click.echo(f"  adopted  {line}")
    for line in adoption.left:
        click.echo(f"  differs  {line}")
    next_ = "writes what differs" if adoption.left else "writes nothing to Azure and records the outputs"
    click.echo(f"Next: `pulumi up --stack {stack}`, which {next_}.")
    return ExitCode.FAILED if adoption.left else ExitCode.OK


def _show_converted(text: str, notes: Iterable[object], out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
    for note in notes:
        click.echo(str(note), err=True)


@cli.command("schema", epilog=_examples("azureml-scoring schema", "azureml-scoring schema --out -"))
@click.option("--out", type=_OUTPUT, default=_SCHEMA, metavar="FILE", show_default=True, help="- is standard output.")
def write_schema(out: TextIO) -> None:
    """Write the JSON Schema of stack files.

    Editors complete and check stack files by it.
    """
    from azureml_scoring.settings.json_schema import text

    out.write(text())
