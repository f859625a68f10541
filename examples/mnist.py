"""Makes the pictures of mnist_boxes.yaml and multimnist.yaml from MNIST, which you bring.

    python examples/mnist.py FOLDER

FOLDER holds mnist/train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and t10k-... as they are distributed (yann.lecun.com/exdb/mnist and its
mirrors). Written to examples/data/:

    mnist_boxes.npz, 60 MB    every digit at a random size (12 to 24 pixels high) and place on a noisy canvas of 32 x 32 (deviation .1), and its
                              box: the first 55,000 training pictures train, the other 5,000 choose when to stop, the 10,000 test pictures test
    multimnist.npz, 20 MB     two digits on one picture of 28 x 28, one to the upper left, one to the lower right, the brighter pixel winning:
                              20,000 pairs train and 2,000 choose, of training pictures no two of which are in both; 5,000 pairs of test pictures test
"""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cotrain.core.randomness import generator
from cotrain.recipe.placed_digits import place

CANVAS = 32
APART = 6
"""Pixels between the two digits of a pair, downwards and to the right."""
PAIRS = {"train": 20_000, "valid": 2_000, "test": 5_000}

Arrays = dict[str, NDArray[np.generic]]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The whole numbers of an idx file: two zeros, 8 for bytes, the number of axes, their lengths, then the cells."""
    raw = gzip.decompress(path.read_bytes())
    zeros, kind, axes = struct.unpack(">HBB", raw[:4])
    if (zeros, kind) != (0, 8):
        raise ValueError(f"'{path}' is no idx file of bytes: it begins {raw[:4]!r}")
    shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def read(folder: Path, kind: str, most: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(pictures [N, 28, 28], digits [N]) of kind "train" or "t10k", the first `most` of them."""
    pictures = read_idx(folder / "mnist" / f"{kind}-images-idx3-ubyte.gz")
    return pictures[:most], read_idx(folder / "mnist" / f"{kind}-labels-idx1-ubyte.gz")[:most]


def boxes(folder: Path, rows: int | None = None) -> Arrays:
    """picture [N, 32, 32], digit, x0, y0, x1, y1 in pixels, split. rows: so many of the training pictures only, and a fifth of it as many for test."""
    (ink, digit), (test_ink, test_digit) = (
        read(folder, "train", rows),
        read(folder, "t10k", None if rows is None else rows // 5),
    )
    ready = torch.from_numpy(np.concatenate([ink, test_ink])).float() / 255
    placed = place(ready, canvas=CANVAS, heights=(12, 24), noise=0.1, seed=0)
    valid = len(ink) // 12
    made: Arrays = {
        "picture": placed.pictures.numpy(),
        "digit": np.concatenate([digit, test_digit]).astype(np.int64),
    }
    made |= {name: placed.boxes[:, side].numpy() for side, name in enumerate(("x0", "y0", "x1", "y1"))}
    made["split"] = np.array(["train"] * (len(ink) - valid) + ["valid"] * valid + ["test"] * len(test_ink))
    return made


def pairs(folder: Path, rows: int | None = None) -> Arrays:
    """picture [N, 28, 28], left and right (the digits), split. rows: so many pairs of every split at most."""
    train, test = read(folder, "train"), read(folder, "t10k")
    sixth = len(train[0]) // 6
    pools = {
        "train": (train[0][:-sixth], train[1][:-sixth]),
        "valid": (train[0][-sixth:], train[1][-sixth:]),
        "test": test,
    }
    draws = generator(0, "two digits")
    parts: list[Arrays] = []
    for split, (ink, digit) in pools.items():
        count = PAIRS[split] if rows is None else min(rows, PAIRS[split])
        left, right = (torch.randint(len(ink), (count,), generator=draws).numpy() for _ in range(2))
        both = np.zeros((count, 28 + APART, 28 + APART), dtype=np.uint8)
        both[:, :28, :28] = ink[left]
        both[:, APART:, APART:] = np.maximum(both[:, APART:, APART:], ink[right])
        small = torch.nn.functional.interpolate(torch.from_numpy(both)[:, None], size=28, mode="nearest")[:, 0]
        named: Arrays = {"left": digit[left].astype(np.int64), "right": digit[right].astype(np.int64)}
        parts.append({"picture": small.numpy(), **named, "split": np.array([split] * count)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


PICTURES = {"mnist_boxes": boxes, "multimnist": pairs}


def make(folder: Path, into: Path, rows: int | None = None) -> list[Path]:
    """Write the pictures of both configs; the files. rows: fewer of them, to try it out."""
    into.mkdir(parents=True, exist_ok=True)
    written = []
    for name, pictures in PICTURES.items():
        made = pictures(folder, rows)
        path = into / f"{name}.npz"
        np.savez(path, **made)  # type: ignore[arg-type]
        print(f"{name}: {len(made['picture'])} pictures -> {path}")
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(__file__).parent / "data")
