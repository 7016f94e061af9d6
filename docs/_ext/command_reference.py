"""Writes the command reference: the help text of each command, as `azureml-scoring COMMAND --help` prints it."""

import click
from azureml_scoring.cli import PROGRAM, cli
from sphinx.application import Sphinx

MARKER = "<!-- command-reference -->"
"""The line of a page that the help texts replace."""
_WIDTH = 100


def reference() -> str:
    """The help texts, in Markdown."""
    root = cli.make_context(PROGRAM, [], resilient_parsing=True, terminal_width=_WIDTH)
    contexts = {name: _context(command, name, root) for name, command in sorted(cli.commands.items())}
    texts = {name: context.get_help() for name, context in {PROGRAM: root, **contexts}.items()}
    return "\n".join(f"## `{name}`\n\n```text\n{text}\n```\n" for name, text in texts.items())


def _context(command: click.Command, name: str, root: click.Context) -> click.Context:
    return command.make_context(name, [], root, resilient_parsing=True)


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    del app, name
    if MARKER in source[0]:
        source[0] = source[0].replace(MARKER, reference())


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill the page when it is read."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
