"""What a training step on pictures costs: encoders, the order of channels in memory, bfloat16.

    python benchmarks/pictures.py                 32 x 32, 64 pictures a step, one thread
    python benchmarks/pictures.py --rounds 12

A step is losses, backward and fused AdamW of two tasks on 64 random pictures; `plain` puts each channel by itself in memory, `channels last` (what every
encoder of pictures does) the channels of a place side by side. Processor time, so that other jobs disturb it little; interleaved, the lowest of the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Signal
from cotrain.core.spec import FieldSpec
from cotrain.encoders.convnet import ConvNet
from cotrain.encoders.residual_pictures import ResNet18, ResNet34
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.training.cost import cost

ROWS, SIDE = 64, 32
NETS: dict[str, Any] = {
    "convnet 32, 64, 128": ConvNet(),
    "convnet 2 x (16, 32, 64, 128)": ConvNet(widths=(16, 32, 64, 128), convolutions=2),
    "convnet 2 x (16, 40, 80, 160)": ConvNet(widths=(16, 40, 80, 160), convolutions=2),
    "the same, pool: mean": ConvNet(widths=(16, 40, 80, 160), convolutions=2, pool="mean"),
    "the same, pool: stride": ConvNet(widths=(16, 40, 80, 160), convolutions=2, pool="stride"),
    "convnet 2 x (24, 56, 112, 224), pool: stride": ConvNet(widths=(24, 56, 112, 224), convolutions=2, pool="stride"),
    "resnet18, width 0.1875": ResNet18(width=0.1875),
    "resnet18, width 0.1875, norm: group": ResNet18(width=0.1875, norm="group"),
    "resnet34, width 0.125": ResNet34(width=0.125),
}


class Plain(torch.nn.Module):
    """An encoder whose pictures lie channel by channel."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.stages, self.shapes = encoder, encoder.stages, encoder.shapes
        picture = encoder.picture.forward
        encoder.picture.forward = lambda fields: picture(fields).contiguous()

    def embed(self, fields: Any) -> Signal:
        return self.encoder.embed(fields)


def stepper(settings: Any, *, plain: bool = False, half: bool = False) -> tuple[Callable[[], None], dict[str, float]]:
    """(one training step, what the network costs)."""
    torch.manual_seed(0)
    spec = FieldSpec("image", shape=(3, SIDE, SIDE), mean=(0.5,) * 3, std=(0.25,) * 3)
    pictures = Field.dense(torch.randint(0, 256, (ROWS, 3, SIDE, SIDE), dtype=torch.uint8))
    label = Field.dense(torch.randint(0, 2, (ROWS, 1)).float())
    batch = Batch({"photo": pictures}, {"a": label, "b": label})
    model = Model(encoder=settings, tasks=[Binary("a"), Binary("b")]).build({"main": {"photo": spec}})
    if plain:
        part = model.parts[0]
        part.encoders["of_main"] = Plain(part.encoders["of_main"])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = torch.stack(list(model.losses([batch]).values())).sum()
        loss.backward()
        optimizer.step()

    return step, cost(model, batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--half", action="store_true", help="bfloat16 too (slow on processors without it)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    forms = {"channels last": {}, "plain": {"plain": True}} | ({"bfloat16": {"half": True}} if given.half else {})
    print(
        f"| encoder | parameters | MFLOP a picture | {' | '.join(f'{form}, ms' for form in forms)} | s for 10,000 pictures |"
    )
    print("|---|---|---|" + "---|" * (len(forms) + 1))
    for name, settings in NETS.items():
        steps = {form: stepper(settings, **how) for form, how in forms.items()}
        lowest = dict.fromkeys(forms, float("inf"))
        for _ in range(given.rounds):
            for form, (step, _) in steps.items():
                began = time.process_time()
                step()
                lowest[form] = min(lowest[form], time.process_time() - began)
        about = steps["channels last"][1]
        cells = [
            f"{about['parameters']:,.0f}",
            f"{about['flops_per_row'] / 1e6:.1f}",
            *(f"{1000 * one:.0f}" for one in lowest.values()),
        ]
        print(f"| {name} | {' | '.join(cells)} | {lowest['channels last'] * 10_000 / ROWS:.1f} |", flush=True)


if __name__ == "__main__":
    main()
