"""Writes methods.md: every way of sharing, every encoder and every balancing method with what it costs and takes, read from the classes themselves.

python docs/methods.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

from cotrain.balance.gallery import BALANCERS
from cotrain.balance.protocol import Combiner, Weigher
from cotrain.core.gallery import settings_of
from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.nested import default_words
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.sharing.gallery import FEATURES, PARAMETERS, TASKS

PAGE = Path(__file__).with_name("methods.md")

HEAD = """# Methods

Written by `python docs/methods.py` from the classes; `cotrain methods sharing`, `cotrain methods encoders` and `cotrain methods balance --json` give the same.

## Sharing

Every name below stands in a config (`sharing: {name: mmoe, experts: 8}`) and for a class of `cotrain.sharing` (`MMoE(experts=8)`). Each works on
the stages of any encoder (a table's layers, a convolutional net's maps, a transformer's sequences) and with every balancing method; each
class's docstring has the formula, the paper, what differs from it, and where each default comes from. `split` counts stages from 0; -1 is
the last one. Copies of layers that are known are one stacked layer and one batched product. What belongs to one task (its gate, its own
experts, its adapters) is reached by its loss alone: no balancing method touches it, and an exact step passes it once.

"""

SHARING_HEAD = """| name | class | cost | settings (defaults) | source |
|---|---|---|---|---|
"""

ENCODING = """
## Encoders

Every name below stands in a config (`encoder: {name: text_conv, filters: 64}`) and for a class of `cotrain.encoders`. An encoder maps what it reads into a
signal and holds the stages that tasks share; heads pool what comes out. [Several inputs](inputs.md) says how encoders stand side by side.

"""

ENCODING_HEAD = """| name | class | what | settings (defaults) | source |
|---|---|---|---|---|
"""

BALANCE = """
## Balancing

`cotrain methods balance --json` gives the same for programs.

Every name below stands in a config (`balance: {name: cagrad, c: 0.5}`) and for a class of `cotrain.balance` (`CAGrad(c=0.5)`). Each class's
docstring has the formula, the equation in the paper, every difference from the paper and from the authors' code, and where each default comes
from. None is promised to beat the sum of well-scaled losses; see [results](results.md) for what was measured, and compare on your own data
(`cotrain compare`).

**Loss methods** weigh trunk and heads alike and cost one joint step (one forward pass, one backward pass of the summed loss).
**Gradient methods** weigh the shared part only and leave each head at its own task's gradient; most need the Gramian, the inner products of
the tasks' gradients on the shared part, which the engine measures in one pass (a *Gramian step*; `mode="features"` measures it at the
features, for about a joint step).

All of them treat hard inputs alike. A task whose loss or gradient is not finite is left out of the step with weight 0, counted and said in the
step's report. A task without a gradient on the shared part has weight 0 in a gradient method. Weights are the paper's own; how long the
step is, is the engine's affair (`length`). Where a problem has no solution, or a solver stops early, the answer is defined in the docstring
and said in the report.

| name | class | family | reads | cost | settings (defaults) | source |
|---|---|---|---|---|---|---|
"""

TAIL = """
## What some of them promise

Checked on 10,000 drawn Jacobians for each spread of gradient lengths, 1, 100 and 10,000 to 1 (`benchmarks/promises.py`), and in the tests.

| promise | methods |
|---|---|
| no task is harmed: cos(g_k, d) >= -1e-6 for every k | UPGrad, DualProj, MGDA, CAGrad with c >= 1, NashMTL, FairGrad |
| weights on the simplex | MGDA, RLW, CoV, FAMO |
| the shortest vector of the hull | MGDA |
| equal projections and cosines, for linearly independent gradients | IMTLG, IMTL, ConFIG |
| G w = w^(-1/alpha) to 1e-5, wherever a solution exists that float64 can hold | NashMTL (alpha = 1), FairGrad (alpha >= 1/2) |
| rescaling one task's loss does not change the direction | NashMTL, IMTLG, ConFIG, DBMTL, MGDA with l2, Log, GLS |

IMTLG, IMTL, ConFIG and AlignedMTL may give negative weights. PCGrad, GradVac, AlignedMTL and CAGrad with c < 1 may still harm a task.

## Not offered

GO4Align, CoBa, ExcessMTL, Auto-Lambda, MoCo, MoDo, SDMGrad, AdaTask, RotoGrad, M-ConFIG: they need a second batch, validation gradients, or an
optimiser state a task. ConicGrad, PAMOO and others whose rules could not be verified in their paper or their authors' code.
"""


SEARCH = """
## Tuning

What proposes the next trial, and what ends one early; `cotrain methods tuners` and `cotrain methods pruners` give the same. Each name stands
for a class of `cotrain.search`, whose docstring has the rule, the paper and where each default comes from. The mathematics is Optuna's,
pymoo's and cmaes's (`pip install 'cotrain[tune]'`). What is ours: an answer depends on the finished trials and a seed alone, so that any
worker goes on where another one fell. A combination that a sampler cannot serve is refused with those that can; how they do on known
functions is in [the benchmarks](benchmarks.md#samplers).

| name | class | objectives | choices | conditional parameters | constraints | cost | settings (defaults) | source |
|---|---|---|---|---|---|---|---|---|
"""

SEARCH_END = """
| pruner | class | settings (defaults) | source |
|---|---|---|---|
"""


def reads(cls: type) -> str:
    """What the method is shown, in words."""
    if issubclass(cls, Combiner):
        return f"gradients at the {cls.at}"
    if "weigher" in settings_of(cls):
        return "what its weigher reads"
    needs = cls.needs if issubclass(cls, Weigher) else frozenset()
    return ", ".join(sorted(need.replace("_", " ") for need in needs))


def settings(cls: type) -> str:
    """The settings with their defaults."""
    shown = [
        f"`{setting.name}`" + ("" if setting.required else f" {default_words(setting.default)}")
        for setting in settings_of(cls).values()
    ]
    return ", ".join(shown) or "-"


def sharing() -> str:
    """A table a family."""
    parts = []
    for title, family in (("Shared parameters", PARAMETERS), ("Shared features", FEATURES), ("Related tasks", TASKS)):
        rows = []
        for cls in family:
            cells = (f"`{cls.name}`", f"`{cls.__name__}`", cls.cost, settings(cls), cls.source)
            rows.append("| " + " | ".join(cells) + " |")
        parts.append(f"### {title}\n\n{SHARING_HEAD}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def encoders() -> str:
    """A table for each kind of input."""
    groups: dict[str, list[tuple[str, type]]] = {"Of tables": [], "Of pictures": [], "Of texts": []}
    for name, cls in ENCODERS.items():
        texts = "tokens" in getattr(cls, "reads", ())
        pictures = "picture" in (inspect.getdoc(inspect.getmodule(cls)) or "").lower()
        groups["Of texts" if texts else "Of pictures" if pictures else "Of tables"].append((name, cls))
    parts = []
    for title, found in groups.items():
        rows = []
        for name, cls in found:
            what = (inspect.getdoc(inspect.getmodule(cls)) or "").split("\n")[0].rstrip(".")
            cells = (f"`{name}`", f"`{cls.__name__}`", what, settings(cls), getattr(cls, "source", "-"))
            rows.append("| " + " | ".join(cells) + " |")
        parts.append(f"### {title}\n\n{ENCODING_HEAD}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def tuning() -> str:
    """A row a sampler and a row a pruner."""
    samplers = []
    for name, cls in SAMPLERS.items():
        least, most = cls.objectives  # type: ignore[attr-defined]
        objectives = str(least) if least == most else f"{least} or more"
        abilities = ["yes" if what in cls.can else "no" for what in ("choices", "conditions", "constraints")]  # type: ignore[attr-defined]
        cells = (f"`{name}`", f"`{cls.__name__}`", objectives, *abilities, cls.cost, settings(cls), cls.source)  # type: ignore[attr-defined]
        samplers.append("| " + " | ".join(cells) + " |")
    pruners = [
        f"| `{name}` | `{cls.__name__}` | {settings(cls)} | {cls.source} |"  # type: ignore[attr-defined]
        for name, cls in PRUNERS.items()
    ]
    return SEARCH + "\n".join(samplers) + "\n" + SEARCH_END + "\n".join(pruners) + "\n"


def page() -> str:
    """The whole page."""
    rows = []
    for name, cls in BALANCERS.items():
        source = inspect.getattr_static(cls, "source")
        cells = (f"`{name}`", f"`{cls.__name__}`", cls.family, reads(cls), cls.cost, settings(cls), source)  # type: ignore[attr-defined]
        rows.append("| " + " | ".join(cells) + " |")
    return HEAD + sharing() + ENCODING + encoders() + BALANCE + "\n".join(rows) + "\n" + TAIL + tuning()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
