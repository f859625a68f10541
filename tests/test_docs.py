"""What the README and the docs show is run, and what they name is there.

Python blocks of a page run one after the other in one namespace. `cotrain ...` lines of the README's bash blocks run in order in a folder that
holds a small census.csv and new.csv; a yaml block that begins with `# name.yaml` is written there first.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> Iterator[tuple[int, str, str]]:
    """(line, language, text) of a page's fenced blocks."""
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        if match[1] in languages:
            yield text.count("\n", 0, match.start()) + 2, match[1], match[2]


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python"))], ids=name_of)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "example"}
    for line, _, text in blocks(page, "python"):
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)


@pytest.fixture
def census(tmp_path: Path) -> Path:
    """A folder with census.csv (income, marital and age depend on the other columns) and new.csv (the same columns, other rows)."""
    generator = np.random.default_rng(0)
    rows = 600
    hours, years = generator.normal(40, 10, rows).round(), generator.integers(6, 20, rows)
    age = (20 + 2 * years + generator.normal(0, 6, rows)).round()
    rich = hours + 3 * years + generator.normal(0, 8, rows) > 85
    alone = age + generator.normal(0, 5, rows) < 40
    frame = pl.DataFrame(
        {
            "hours": hours,
            "years": years,
            "work": generator.choice(["private", "state", "self"], rows),
            "income": np.where(rich, ">50k", "<=50k"),
            "marital": np.where(alone, "never", "married"),
            "age": age,
        }
    )
    frame.head(500).write_csv(tmp_path / "census.csv")
    frame.tail(100).write_csv(tmp_path / "new.csv")
    return tmp_path


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """("run", command line) for each `cotrain` line, ("write", text) for each yaml block that names its file, in the page's order."""
    for _, language, text in blocks(page, "bash", "yaml"):
        if language == "yaml" and re.match(r"# \w+\.yaml\n", text):
            yield "write", text
        elif language == "bash":
            yield from (("run", line) for line in text.splitlines() if line.startswith("cotrain "))


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "getting-started.md"], ids=name_of)
def test_command_lines_run(page: Path, census: Path) -> None:
    ran = 0
    for what, text in commands(page):
        if what == "write":
            (census / text.splitlines()[0].removeprefix("# ")).write_text(text, "utf-8")
            continue
        words = shlex.split(text, comments=True)
        if words[1] == "tune":
            words += ["--trials", "2"]  # else it goes on for the twenty minutes that the line asks for
        start = "from cotrain.cli.main import main; main()"
        answer = subprocess.run(
            [sys.executable, "-c", start, *words[1:]], cwd=census, capture_output=True, text=True, timeout=500
        )
        assert answer.returncode == 0, f"{text}\n{answer.stdout}\n{answer.stderr}"
        ran += 1
    assert ran > 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_and_files_that_pages_mention_are_there(page: Path) -> None:
    """Every dotted name `cotrain.a.b.C`, every path under src/, tests/, benchmarks/, examples/, every relative link."""
    text = page.read_text("utf-8")
    absent = [word for word in sorted(set(re.findall(r"\bcotrain(?:\.\w+){2,}", text))) if not resolves(word)]
    paths = set(re.findall(r"(?<![\w/])(?:src|tests|benchmarks|examples)/[\w/.-]*\w\.(?:py|yaml|txt)", text))
    absent += [path for path in sorted(paths) if "my_" not in path and not (ROOT / path).exists()]
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    absent += [link for link in sorted(links - {""}) if not (page.parent / link).exists()]
    assert absent == []


def resolves(word: str) -> bool:
    """Whether a dotted name is a module, or an attribute chain of one."""
    parts = word.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_every_benchmark_script_is_named_in_the_docs() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    scripts = [path.name for path in sorted((ROOT / "benchmarks").glob("*.py"))]
    assert [script for script in scripts if script not in text] == []


def test_the_reference_of_settings_is_what_the_code_says() -> None:
    """After a change of a setting or its docstring: python docs/reference.py (`make docs` does it too)."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == (ROOT / "docs" / "reference.md").read_text("utf-8")
