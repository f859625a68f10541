"""The page of methods says what the classes say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cotrain.balance.gallery import BALANCERS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_methods_is_what_the_classes_say() -> None:
    spec = importlib.util.spec_from_file_location("methods_page", DOCS / "methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "methods.md").read_text("utf-8") == module.page(), "run: python docs/methods.py"


def test_the_page_of_names_knows_every_class() -> None:
    text = (DOCS / "names.md").read_text("utf-8")
    missing = [cls.__name__ for cls in BALANCERS.values() if f"`{cls.__name__}" not in text]
    assert missing == []
