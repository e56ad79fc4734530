"""The commands, and the way from arguments to an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from isofield.cli.coarsen import coarsen
from isofield.cli.convert import convert
from isofield.cli.info import info
from isofield.cli.plot import plot
from isofield.cli.predict import predict
from isofield.cli.reporting import Outcome, warnings_as_lines
from isofield.cli.resample import resample
from isofield.cli.train import train

DEBUG = "--debug"

app = typer.Typer(
    name="isofield",
    help="Learn maps between fields on any meshes, and predict on others.",
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (info, convert, coarsen, resample, train, predict, plot):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.")
    ] = False,
) -> None:
    if version:
        from isofield import __version__

        typer.echo(f"isofield {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code.

    arguments : without the program's name; those of the process where it is None.
    0 is success, 1 a failure, 2 a usage error, 130 an interruption. `--debug` counts
    at any place.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    outcome = Outcome(debug=DEBUG in words)
    words = [word for word in words if word != DEBUG]
    program = get_command(app)
    with (
        warnings_as_lines(),
        outcome,
        program.make_context("isofield", words) as context,
    ):
        program.invoke(context)
    return outcome.code
