"""The command `nearcast`: exit 0 when done, 2 for bad input, 1 when it is us or the machine."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from models.errors import NearcastError
from service import __version__
from service.cli.output import print_problem, problem_in_full
from service.problems import ProblemError

COMMANDS = {
    "demo": "service.cli.demo",
    "serve": "service.cli.serve",
    "ingest": "service.cli.ingest",
    "pull": "service.cli.pull",
    "retrain": "service.cli.retrain",
    "forecast": "service.cli.forecast",
    "backtest": "service.cli.backtest",
    "scenario": "service.cli.scenario",
    "days": "service.cli.days",
    "activate": "service.cli.activate",
    "status": "service.cli.operate",
    "keys": "service.cli.keys",
    "migrate": "service.cli.operate",
}
"""Each command and the module of its function, or of its own commands."""


def make_cli(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with the commands of these names; their modules are imported."""
    cli = typer.Typer(
        name="nearcast",
        help="Rolling short-horizon forecasts of funnel stages, with honest intervals.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    cli.callback()(common)  # with a single command, its name would not be expected
    for name in names:
        found = getattr(import_module(COMMANDS[name]), name)
        if isinstance(found, typer.Typer):
            cli.add_typer(found, name=name)
        else:
            cli.command(name)(found)
    return cli


def tell_version(asked: bool) -> None:
    """The release, if that is asked for, and nothing else."""
    if asked:
        typer.echo(f"nearcast {__version__}")
        raise typer.Exit


def common(
    version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Print the release and exit.")
    ] = False,
) -> None:
    """Rolling short-horizon forecasts of funnel stages, with honest intervals."""


def main() -> None:
    """Run the command line; errors that the user can do something about are told, never traced."""
    # `serve` must not wait for what only `ingest` or `backtest` need: a known command loads itself alone.
    # What is imported stays: looking through it for garbage again and again costs a start a tenth of its time.
    # Nor is it looked through at the end, when it is all given back at once.
    asked = sys.argv[1:2]
    atexit.register(gc.freeze)
    try:
        gc.disable()
        cli = make_cli(asked if asked and asked[0] in COMMANDS else COMMANDS)
        gc.freeze()
        gc.enable()
        cli(prog_name="nearcast")  # and not how Python was started
    except (NearcastError, ProblemError) as error:
        problem = error if isinstance(error, ProblemError) else problem_in_full(error)
        print_problem(problem, as_json="--json" in sys.argv)
        sys.exit(2 if problem.status < 500 else 1)
