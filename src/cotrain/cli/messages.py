"""What the command line says to a person: problems with their places, warnings, notes; colour on a terminal only.

Results go to stdout, everything said here goes to stderr.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import IO, Any, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")


def coloured(stream: IO[str]) -> bool:
    """Whether colour may be written: a terminal, and no NO_COLOR in the environment."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def width() -> int:
    """Columns to write in: the terminal's, at most 100; 80 where there is no terminal."""
    return min(shutil.get_terminal_size((80, 24)).columns, 100)


def say(text: str, *, colour: str | None = None) -> None:
    """One line to stderr."""
    typer.echo(typer.style(text, fg=colour) if colour and coloured(sys.stderr) else text, err=True)


def note(text: str) -> None:
    """A sentence to stderr, folded."""
    say(_folded(text, "", ""))


def warn(text: str) -> None:
    """A warning to stderr, folded."""
    mark = typer.style("warning:", fg="yellow") if coloured(sys.stderr) else "warning:"
    say(_folded(text, "warning: ", "  ").replace("warning:", mark, 1))


def problem(place: str, path: str, message: str) -> None:
    """One problem to stderr: where it is on a line of its own, then what was expected, what came and what to do."""
    bold = coloured(sys.stderr)
    where = "  ".join(part for part in (place, typer.style(path, bold=True) if bold and path else path) if part)
    if where:
        say(f"  {where}")
    say(_folded(message, "      " if where else "  ", "      " if where else "  "))


def failure(error: Exception) -> None:
    """A mistake of the user's, in plain words."""
    found: Iterable[Any] = getattr(error, "problems", ())
    first, _, rest = str(error).partition("\n")
    head = typer.style("error:", fg="red", bold=True) if coloured(sys.stderr) else "error:"
    say(_folded(first, "error: ", "  ").replace("error:", head, 1))
    if found:
        for each in found:
            problem(each.place, each.path, each.message)
    elif rest:
        say("\n".join(_folded(line, "  ", "    ") for line in rest.splitlines()))


def answered(command: Callable[P, R]) -> Callable[P, R]:
    """The command with the house's exit codes: 2 for a mistake of the user's, 130 for Ctrl-C, 1 for what is left."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from cotrain.core.errors import CotrainError, TrainingError

        try:
            return command(*args, **kwargs)
        except TrainingError as error:
            failure(error)
            raise typer.Exit(1) from None
        except CotrainError as error:
            failure(error)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            say(f"\nstopped{': ' + str(error) if str(error) else ''}")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            where = f" '{error.filename}'" if error.filename else ""
            say(
                _folded(
                    f"the machine refused{where}: {error.strerror or error}; look at its rights and its free space",
                    "error: ",
                    "  ",
                )
            )
            raise typer.Exit(1) from None
        except MemoryError:
            say("error: the machine has too little memory for this; a smaller batch_size or fewer rows need less")
            raise typer.Exit(1) from None

    return run


def _folded(text: str, first: str, rest: str) -> str:
    """The text within the width; words are kept whole, so that paths and values can be copied."""
    lines = [
        textwrap.fill(
            line,
            width(),
            initial_indent=first if not index else rest,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for index, line in enumerate(text.splitlines() or [""])
    ]
    return "\n".join(lines)
