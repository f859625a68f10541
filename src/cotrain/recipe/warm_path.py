"""Where the run of `train.warm_start` lies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cotrain.core.errors import RunError
from cotrain.recipe.folder import existing_folder
from cotrain.recipe.reader import Reader
from cotrain.training.settings import TrainSettings


def with_run(reader: Reader, train: TrainSettings | None, folder: Path | None, files: bool) -> TrainSettings | None:
    """The settings with the run's folder, a relative path beginning at `folder`. files: note it where no finished run is there."""
    if train is None or train.warm_start is None:
        return train
    path = (folder or Path.cwd()) / train.warm_start
    if files:
        try:
            existing_folder(path)
        except RunError as error:
            reader.found(("train", "warm_start"), f"expected the folder of a finished run: {error}")
    return dataclasses.replace(train, warm_start=str(path))
