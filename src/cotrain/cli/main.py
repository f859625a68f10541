"""`cotrain`: every command by its name. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cotrain.cli.affinity import affinity
from cotrain.cli.check import check
from cotrain.cli.compare import compare
from cotrain.cli.demo import demo
from cotrain.cli.evaluate import evaluate
from cotrain.cli.init import init
from cotrain.cli.messages import answered
from cotrain.cli.methods import methods
from cotrain.cli.predict import predict
from cotrain.cli.report import report
from cotrain.cli.schema import schema
from cotrain.cli.train import train
from cotrain.cli.tune import tune

app = typer.Typer(
    name="cotrain",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: cotrain demo. Each command has its own --help with an example.",
)

_COMMANDS: tuple[tuple[Callable[..., Any], str], ...] = (
    (init, "cotrain init census.csv --target income --target age"),
    (check, "cotrain check census.yaml"),
    (train, "cotrain train census.yaml"),
    (evaluate, "cotrain evaluate runs/census"),
    (predict, "cotrain predict runs/census new.csv -o predictions.parquet"),
    (compare, "cotrain compare census.yaml --seeds 5"),
    (tune, "cotrain tune census.yaml --auto --trials 40 --time 20m"),
    (affinity, "cotrain affinity census.yaml --check"),
    (report, "cotrain report runs/census"),
    (methods, "cotrain methods balance --json"),
    (schema, "cotrain schema > cotrain.schema.json"),
    (demo, "cotrain demo"),
)

for _command, _example in _COMMANDS:
    app.command(_command.__name__, epilog=f"Example: {_example}")(answered(_command))


def _version(asked: bool) -> None:
    if asked:
        from cotrain import __version__

        typer.echo(f"cotrain {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def cotrain(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Train one network for several related tasks, and find out whether sharing helped."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """The program. A user's own classes are found beside the config and in the working folder's modules."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    app()


if __name__ == "__main__":
    main()
