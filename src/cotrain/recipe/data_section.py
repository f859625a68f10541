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


def read_data(
    reader: Reader,
    tree: Any,
    folder: Path | None,
    table: Any,
    files: bool,
    *,
    keys: Keys = ("data",),
    needed: bool = True,
) -> DataSettings | None:
    """The settings, with what is wrong noted. files: look whether the data file is there. needed: whether a path is expected here."""
    if isinstance(tree, Path):
        tree = str(tree)
    settings = reader.section(DataSettings, {} if tree is None else tree, keys, word="path")
    if settings is None:
        return None
    for column, kind in settings.kinds.items():
        read_kind(reader, kind, (*keys, "kinds", column), KINDS)
    here: Keys = (*keys, "path") if isinstance(tree, Mapping) else keys
    if not settings.path:
        if table is None and files and needed:
            example = ": {".join(str(key) for key in keys) + ": {path: census.csv" + "}" * len(keys)
            reader.found(here, f"expected the path of a table, got nothing; add for example `{example}`")
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
