"""How evenly each gate uses its experts, over the epochs; and what speaks of collapse: one expert for every row, or one for none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cotrain.report.drawings import curve, shares
from cotrain.report.run_folder import RunFolder
from cotrain.report.tables import Cell, Head, Table, table
from cotrain.report.words import fixed, listed, percent

ENTROPY, SHARE = "expert_entropy/", "expert_share/"

ALONE = 0.1
"""Evenness below which a gate is said to use one expert alone: with 8 experts, one that has about 97 % or more."""

UNUSED = 0.01
"""Share below which an expert is said to be unused, if no gate that reads it gives it more."""

COMMON = ("mmoe", "dselect_k")
"""Ways of sharing whose gates all read the same experts."""


@dataclass(frozen=True)
class Gate:
    """One gate. evenness: (epoch, entropy over that of even use). shares: of each expert at the last epoch; empty where the log has none."""

    name: str
    evenness: tuple[tuple[float, float | None], ...]
    shares: tuple[float, ...]

    @property
    def last(self) -> float | None:
        """The last known evenness."""
        return next((value for _, value in reversed(self.evenness) if value is not None), None)


def gates(run: RunFolder) -> list[Gate]:
    """The gates that the log knows, in its order."""
    names = dict.fromkeys(
        key.removeprefix(ENTROPY) for epoch in run.epochs for key in epoch.usage if key.startswith(ENTROPY)
    )
    last: Mapping[str, float | None] = run.epochs[-1].usage if run.epochs else {}
    found = []
    for name in names:
        held = [last[f"{SHARE}{name}/{at}"] for at in range(len(last)) if f"{SHARE}{name}/{at}" in last]
        points = tuple((epoch.epoch, epoch.usage.get(ENTROPY + name)) for epoch in run.epochs)
        found.append(Gate(name, points, tuple(share for share in held if share is not None)))
    return found


def usage_table(run: RunFolder) -> Table | None:
    """One row a gate: evenness over the epochs, shares of its experts at the last one."""
    found = gates(run)
    if not found:
        return None
    rows: list[list[Cell | str]] = []
    for gate in found:
        known = [value for _, value in gate.evenness if value is not None]
        tone = "bad" if gate.last is not None and gate.last < ALONE else ""
        largest = max(range(len(gate.shares)), key=lambda at: gate.shares[at], default=None)
        most = (
            ""
            if largest is None
            else f"expert {largest + 1}: {percent(gate.shares[largest], decimals=0, signed=False)}"
        )
        rows.append(
            [
                gate.name,
                fixed(known[0] if known else None, 2),
                Cell(fixed(gate.last, 2), tone=tone, drawing=curve(gate.evenness) if len(known) > 1 else ""),
                Cell(most, drawing=shares(gate.shares)),
            ]
        )
    heads = (
        Head("Gate", "name"),
        Head(
            "Evenness, first epoch",
            "number",
            "Entropy of the mean gate over that of even use; 1: even, 0: one expert alone",
        ),
        Head("last epoch", "number"),
        Head("Largest share, last epoch", "number", "The dashed line is even use"),
    )
    return table("Use of the experts", heads, rows, tall=len(rows) > 12)


def collapsed(run: RunFolder) -> list[str]:
    """A sentence for every sign of collapse at the last epoch."""
    found = gates(run)
    said = [
        f"“{gate.name}” reads one expert nearly alone (evenness {fixed(gate.last, 2)} of 1): the others learn next to nothing from it. "
        "Gate dropout, fewer experts, or a lower learning rate may help."
        for gate in found
        if gate.last is not None and gate.last < ALONE
    ]
    sizes = {len(gate.shares) for gate in found}
    if _common(run) and len(sizes) == 1:
        unused = [at for at in range(sizes.pop()) if max(gate.shares[at] for gate in found) < UNUSED]
        if unused:
            names = listed([f"expert {at + 1}" for at in unused])
            said.append(
                f"{names}: every task gives {'it' if len(unused) == 1 else 'them'} less than {percent(UNUSED, decimals=0, signed=False)} of its "
                "weight, so parameters are there that nobody uses. Fewer experts would do."
            )
    return said


def _common(run: RunFolder) -> bool:
    sharing = run.structure.sharing if run.structure is not None else None
    name = sharing.get("name") if isinstance(sharing, dict) else sharing
    return name in COMMON
