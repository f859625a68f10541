"""Random numbers come from generators that are handed in; this file makes them, saves them and puts them back.

`derive` gives every consumer a stream of its own, so that adding one never shifts another.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    >>> derive(0, "shuffle", 3) == derive(0, "shuffle", 3), derive(0, "shuffle", 3) == derive(0, "shuffle", 4)
    (True, False)
    """
    digest = hashlib.sha256(repr((int(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


def seed_layers(seed: int) -> None:
    """Seed what the layers themselves draw from: initial values and dropout use the global generators of torch."""
    torch.manual_seed(derive(seed, "layers"))


def layer_state() -> dict[str, Tensor]:
    """The global generators' states, as tensors, for a checkpoint."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state |= {f"cuda{index}": one for index, one in enumerate(torch.cuda.get_rng_state_all())}
    return state


def restore_layer_state(state: dict[str, Tensor]) -> None:
    """Put the global generators back where `layer_state` found them."""
    torch.set_rng_state(state["cpu"].cpu())
    devices = [name for name in state if name.startswith("cuda")]
    if devices and torch.cuda.is_available():
        for name in devices[: torch.cuda.device_count()]:
            torch.cuda.set_rng_state(state[name].cpu(), int(name.removeprefix("cuda")))


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever is drawn inside leaves the global generators as they were."""
    python, state = random.getstate(), layer_state()
    try:
        yield
    finally:
        random.setstate(python)
        restore_layer_state(state)
