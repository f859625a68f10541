"""The floors of the house are kept: imports run down, rooms on one floor do not know each other, files stay small.

Each rule is a function from parsed sources to a list of complaints; the last tests plant a breach of every rule and see it found.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    "core": 1,
    **dict.fromkeys(("data", "encoders", "sharing", "heads", "losses", "balance", "search", "report"), 2),
    **dict.fromkeys(("tasks", "model"), 3),
    "training": 4,
    **dict.fromkeys(("compress", "export"), 5),
    **dict.fromkeys(("recipe", "serve"), 6),
    "cli": 7,
    "": 7,
}
"""Room to floor; the room of `cotrain/__init__.py` and `cotrain/__main__.py` is ''."""

ONLY_TORCH = ("core", "balance")
METHOD_ROOMS = ("balance", "sharing", "encoders")
COMMON_WORDS = {"none", "sum", "log", "static", "config"}
"""Config names of methods that are ordinary words as well; training may compare with these."""
DRAWERS = {"util", "utils", "common", "misc", "helper", "helpers"}
SUMMONS = ("import_module", "__import__", "import_class", "eval", "exec")
LONGEST = 400

Sources = Mapping[str, ast.Module]
"""Module name ("cotrain.core.fields", a package's own name for its `__init__`) to its parsed text."""


@dataclass(frozen=True)
class Import:
    """`from target import name` at a line of a module; name is None for `import target`."""

    module: str
    line: int
    target: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}" + (f" ({self.name})" if self.name else "")


@cache
def house() -> dict[str, ast.Module]:
    """Every module under src/cotrain, parsed."""
    source = ROOT / "src"
    modules = {}
    for path in sorted((source / "cotrain").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return modules


def packages(sources: Sources) -> set[str]:
    return (
        {"cotrain"}
        | {name.rpartition(".")[0] for name in sources if "." in name}
        | {f"cotrain.{room}" for room in FLOORS if room}
    )


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""


def imports(sources: Sources) -> Iterator[Import]:
    """All imports, those inside functions and under TYPE_CHECKING as well; relative ones are not spoken here."""
    for module, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Import(module, node.lineno, alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                target = "." * node.level + (node.module or "")
                yield from (Import(module, node.lineno, target, alias.name) for alias in node.names)


def inside(sources: Sources) -> Iterator[Import]:
    """Imports of the package's own modules; `from cotrain.core import fields` counts as `cotrain.core.fields`."""
    for one in imports(sources):
        if one.target == "cotrain" or one.target.startswith("cotrain."):
            joined = f"{one.target}.{one.name}"
            yield Import(one.module, one.line, joined, None) if joined in sources else one


def defined(tree: ast.Module) -> set[str]:
    """Names a module defines itself at its top level, whatever `if` or `try` stands around them."""
    names: set[str] = set()
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            todo += [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
            todo += [one for handler in getattr(node, "handlers", []) for one in handler.body]
    return names


# ---------------------------------------------------------------------------------------------------------------- rules


def runs_up(sources: Sources) -> list[str]:
    """Imports that run up, or sideways into another room of the same floor."""
    wrong = []
    for one in inside(sources):
        here, there = room(one.module), room(one.target)
        if here not in FLOORS or there not in FLOORS:
            wrong.append(f"{one}: room '{here if here not in FLOORS else there}' stands on no floor")
        elif here != there and here != "" and FLOORS[there] >= FLOORS[here] and (here, there) != ("cli", ""):
            wrong.append(f"{one}: floor {FLOORS[here]} may not know floor {FLOORS[there]}")
    return wrong


def serve_reaches_out(sources: Sources) -> list[str]:
    return [
        str(one)
        for one in inside(sources)
        if room(one.module) == "serve" and room(one.target) not in ("serve", "export", "core")
    ]


def foreign(sources: Sources) -> list[str]:
    """Libraries other than torch and the standard library where only these may be, and relative imports anywhere."""
    wrong = []
    for one in imports(sources):
        library = one.target.split(".")[0]
        known = library in ("cotrain", "torch", "__future__") or library in sys.stdlib_module_names
        if one.target.startswith(".") or (room(one.module) in ONLY_TORCH and not known):
            wrong.append(str(one))
    return wrong


def roundabout(sources: Sources) -> list[str]:
    """Names taken from a shop window or from a file that has them from elsewhere."""
    wrong = []
    for one in inside(sources):
        if one.target not in sources or one.name is None or one.name not in defined(sources[one.target]):
            if one.target in packages(sources):
                wrong.append(f"{one}: import the file that defines the name")
            elif one.name is not None and one.target in sources:
                wrong.append(f"{one}: it is not defined there")
    return wrong


def circles(sources: Sources) -> list[str]:
    """Modules that import each other in a ring, one ring a line."""
    known: dict[str, set[str]] = {module: set() for module in sources}
    for one in inside(sources):
        known[one.module] |= {one.target} & set(sources)
    done: set[str] = set()
    found: list[str] = []

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" -> ".join((*path[path.index(module) :], module)))
        elif module not in done:
            for target in sorted(known[module]):
                walk(target, (*path, module))
            done.add(module)

    for module in known:
        walk(module, ())
    return found


def talks(sources: Sources) -> list[str]:
    """Prints, and reads of the environment, below the command line."""
    wrong = []
    for module, tree in sources.items():
        if room(module) == "cli":
            continue
        for node in ast.walk(tree):
            word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if word in ("print", "environ", "getenv"):
                wrong.append(f"{module}:{node.lineno} says {word}")  # type: ignore[attr-defined]
    return wrong


def galleries(sources: Sources) -> set[str]:
    """Names of the constants that hold a Gallery: `SHARINGS = Gallery(...)`."""
    return {
        target.id
        for tree in sources.values()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name) and node.value.func.id == "Gallery"
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }  # fmt: skip


def builds_from_strings(sources: Sources) -> list[str]:
    """Objects called up by name outside recipe/build.py (the gallery itself and the lazy public face fetch, and build nothing)."""
    wrong = []
    known = galleries(sources)
    for module, tree in sources.items():
        if module in ("cotrain", "cotrain.core.gallery", "cotrain.recipe.build"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                # a bare `eval(...)` only: `model.eval()` is torch's word for another thing
                bare = node.func.id if isinstance(node.func, ast.Name) else ""
                called = bare or getattr(node.func, "attr", "")
                lazy_command = called == "import_module" and module == "cotrain.cli.main"
                if called in SUMMONS and not lazy_command and (bare or called not in ("eval", "exec")):
                    wrong.append(f"{module}:{node.lineno} calls {called}")
                if isinstance(node.func, ast.Subscript) and getattr(node.func.value, "id", "") in known:
                    wrong.append(f"{module}:{node.lineno} builds from a gallery")
    return wrong


def methods(sources: Sources) -> dict[str, str]:
    """Class name to config name of all balancers, sharings and encoders: public classes with a `name = "..."` of their own."""
    found = {}
    for module, tree in sources.items():
        if room(module) in METHOD_ROOMS:
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    for item in node.body:
                        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
                        value = getattr(item, "value", None)
                        if (
                            getattr(target, "id", "") == "name"
                            and isinstance(value, ast.Constant)
                            and isinstance(value.value, str)
                        ):
                            found[node.name] = value.value
    return found


def training_names_methods(sources: Sources) -> list[str]:
    """Method classes imported into training/, and comparisons with a method's config name."""
    known = methods(sources)
    wrong = [
        str(one)
        for one in inside(sources)
        if room(one.module) == "training" and one.name in known and room(one.target) in METHOD_ROOMS
    ]
    for module, tree in sources.items():
        if room(module) == "training":
            for node in ast.walk(tree):
                if isinstance(node, (ast.Compare, ast.MatchValue)):
                    texts = {str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)}
                    wrong += [
                        f"{module}:{node.lineno} asks for '{text}'"
                        for text in texts & set(known.values()) - COMMON_WORDS
                    ]
    return wrong


def dressed_windows(sources: Sources) -> list[str]:
    """Folder `__init__` files with more than a docstring, imports from their own room and `__all__`."""
    wrong = []
    for module in packages(sources) - {"cotrain"}:
        tree = sources.get(module)
        if tree is None or ast.get_docstring(tree) is None:
            wrong.append(f"{module} has no shop window: one paragraph that says what the room is for")
            continue
        names = False
        for node in tree.body[1:]:
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            own = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{module}.")
            public = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
            names |= own
            if not (future or own or public):
                wrong.append(f"{module}:{node.lineno} is neither an import from its own room nor __all__")
        if names and ">>>" not in (ast.get_docstring(tree) or ""):
            wrong.append(f"{module} shows names and no example")
    return wrong


def open_signatures(sources: Sources) -> list[str]:
    """Public functions and methods that take **kwargs; a function inside a function is nobody's signature."""
    wrong = []
    for module, tree in sources.items():
        bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
        for node in (one for body in bodies for one in body):
            if (
                isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                and node.args.kwarg
                and not node.name.startswith("_")
            ):
                wrong.append(f"{module}:{node.lineno} {node.name}(**{node.args.kwarg.arg})")
    return wrong


RULES: tuple[Callable[[Sources], list[str]], ...] = (
    runs_up,
    serve_reaches_out,
    foreign,
    roundabout,
    circles,
    talks,
    builds_from_strings,
    training_names_methods,
    dressed_windows,
    open_signatures,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Callable[[Sources], list[str]]) -> None:
    assert rule(house()) == []


def test_no_file_holds_two_ideas_or_is_a_drawer() -> None:
    files = [path for folder in ("src", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
    assert [name for name in lengths if Path(name).stem in DRAWERS or Path(name).parent.name in DRAWERS] == []


BREACHES = {
    "runs_up": {"cotrain.core.x": "from cotrain.data.read import y", "cotrain.data.read": "y = 1"},
    "serve_reaches_out": {"cotrain.serve.x": "import cotrain.training.loop"},
    "foreign": {"cotrain.balance.x": "def f():\n    import numpy"},
    "roundabout": {
        "cotrain.tasks.x": "from cotrain.losses.a import b",
        "cotrain.losses.a": "from cotrain.core.c import b",
    },
    "circles": {
        "cotrain.data.a": "import cotrain.data.b",
        "cotrain.data.b": "def f():\n    from cotrain.data.a import g",
    },
    "talks": {"cotrain.recipe.x": "import os\nos.environ['A']"},
    "builds_from_strings": {"cotrain.model.x": "HEADS = Gallery('head', ())\nhead = HEADS['linear']()"},
    "training_names_methods": {
        "cotrain.balance.u": "class U:\n    name = 'u'",
        "cotrain.training.x": "if name == 'u': pass",
    },
    "dressed_windows": {"cotrain.core": "'''A room.'''\nimport torch"},
    "open_signatures": {"cotrain.core.x": "def f(**options): pass"},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_finds_its_breach(rule: Callable[[Sources], list[str]]) -> None:
    planted = {name: ast.parse(text) for name, text in BREACHES[rule.__name__].items()}
    assert rule(planted) != []


ASK = """
import sys
{before}
seen = set(sys.modules)
import {module}
new = {{name.partition(".")[0] for name in set(sys.modules) - seen}}
print(*sorted(new - set(sys.stdlib_module_names)), *sorted(name for name in sys.modules if name.startswith("cotrain.")))
"""


def loaded(module: str, before: str = "") -> tuple[set[str], set[str]]:
    """(libraries, rooms) that `import module` loads in a fresh interpreter, beyond those of the statement `before`."""
    answer = subprocess.run(
        [sys.executable, "-c", ASK.format(module=module, before=before)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "src",
    )
    words = set(answer.stdout.split())
    rooms = {word for word in words if word.startswith("cotrain.")}
    return words - rooms, {".".join(name.split(".")[:2]) for name in rooms}


def test_importing_the_package_loads_nothing_heavy() -> None:
    libraries, rooms = loaded("cotrain")
    assert libraries == {"cotrain"}
    assert rooms == set()


def test_importing_the_balancing_engine_loads_torch_and_nothing_else() -> None:
    libraries, rooms = loaded("cotrain.balance", before="import torch")
    assert libraries == {"cotrain"}
    assert rooms == {"cotrain.balance", "cotrain.core"}
