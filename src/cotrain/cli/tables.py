"""Tables on stdout, readable at 80 columns; colour and lines on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from cotrain.cli.messages import coloured, width


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()
) -> None:
    """One table on stdout. numbers: positions of columns whose cells are figures; they stand to the right."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
    )
    half = width() // 2
    first = max((cell_len(line) for row in [columns, *rows] for line in row[0].splitlines()), default=0)
    for index, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if index in numbers else "left",
            overflow="fold",
            no_wrap=(index == 0 and first <= half) or index in numbers,
            max_width=half if index == 0 else None,  # a long name leaves room for what is said of it
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(file=sys.stdout, width=width(), no_color=not coloured(sys.stdout), highlight=False)
    with console.capture() as drawn:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))
