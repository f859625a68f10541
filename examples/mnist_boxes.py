"""Makes the pictures of mnist_boxes.yaml from MNIST, which you bring: every digit at a random size and place on a noisy canvas of 32 x 32.

    python examples/mnist_boxes.py FOLDER

FOLDER holds mnist/train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and t10k-... as they are distributed (yann.lecun.com/exdb/mnist and its
mirrors). 70,000 pictures, digits and boxes are written to examples/data/mnist_boxes.npz, 60 MB: the first 55,000 training pictures train, the other
5,000 choose when to stop, the 10,000 test pictures test. The ink is 12 to 24 pixels high; the noise has a deviation of .1.
"""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cotrain.recipe.placed_digits import place

CANVAS = 32


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The whole numbers of an idx file: two zeros, 8 for bytes, the number of axes, their lengths, then the cells."""
    raw = gzip.decompress(path.read_bytes())
    zeros, kind, axes = struct.unpack(">HBB", raw[:4])
    if (zeros, kind) != (0, 8):
        raise ValueError(f"'{path}' is no idx file of bytes: it begins {raw[:4]!r}")
    shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def pictures(folder: Path, rows: int | None = None) -> dict[str, NDArray[np.generic]]:
    """picture [N, 32, 32], digit, x0, y0, x1, y1 in pixels, split. rows: so many of the training pictures only, and a fifth of it as many for test."""
    kinds = {"train": rows, "t10k": None if rows is None else rows // 5}
    ink = [read_idx(folder / "mnist" / f"{name}-images-idx3-ubyte.gz")[:most] for name, most in kinds.items()]
    digit = [read_idx(folder / "mnist" / f"{name}-labels-idx1-ubyte.gz")[:most] for name, most in kinds.items()]
    train, test = len(ink[0]), len(ink[1])
    ready = torch.from_numpy(np.concatenate(ink)).float() / 255
    placed = place(ready, canvas=CANVAS, heights=(12, 24), noise=0.1, seed=0)
    valid = train // 12
    made: dict[str, NDArray[np.generic]] = {
        "picture": placed.pictures.numpy(),
        "digit": np.concatenate(digit).astype(np.int64),
    }
    made |= {name: placed.boxes[:, side].numpy() for side, name in enumerate(("x0", "y0", "x1", "y1"))}
    made["split"] = np.array(["train"] * (train - valid) + ["valid"] * valid + ["test"] * test)
    return made


def make(folder: Path, into: Path, rows: int | None = None) -> Path:
    """Write the pictures; the file."""
    into.mkdir(parents=True, exist_ok=True)
    made = pictures(folder, rows)
    path = into / "mnist_boxes.npz"
    np.savez(path, **made)  # type: ignore[arg-type]
    print(f"mnist_boxes: {len(made['digit'])} pictures of {CANVAS} x {CANVAS} -> {path}")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(__file__).parent / "data")
