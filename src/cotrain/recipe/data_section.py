"""The `data:` of a config: where the rows are, with relative paths meant from the config's folder."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotrain.core.errors import nearest
from cotrain.data.infer import KINDS
from cotrain.data.settings import DataSettings
from cotrain.recipe.inputs import read_kind
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Reader


def read_data(reader: Reader, tree: Any, folder: Path | None, table: Any, files: bool) -> DataSettings | None:
    if isinstance(tree, Path):
        tree = str(tree)
    settings = reader.section(DataSettings, {} if tree is None else tree, ("data",), word="path")
    if settings is None:
        return None
    for column, kind in settings.kinds.items():
        read_kind(reader, kind, ("data", "kinds", column), KINDS)
    here: Keys = ("data", "path") if isinstance(tree, Mapping) else ("data",)
    if not settings.path:
        if table is None and files:
            reader.found(here, "expected the path of a table, got nothing; add for example `data: {path: census.csv}`")
        return settings
    settings = settings.beside(folder or Path.cwd())
    if files:
        for path in [settings.path] if isinstance(settings.path, str) else settings.path:
            if not glob.glob(path) and not Path(path).exists():
                reader.found(here, _no_file(path))
    return settings


def _no_file(path: str) -> str:
    folder = Path(path).parent
    if not folder.is_dir():
        return f"expected a file or a glob, got '{path}', but there is no folder '{folder}'; a relative path starts at the config's folder"
    around = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    guess = nearest(Path(path).name, around)
    hint = f"did you mean '{guess}'?" if guess else "a relative path starts at the config's folder"
    return f"expected a file or a glob, got '{path}', where no file is; {hint}"
