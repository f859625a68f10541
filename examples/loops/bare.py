"""A training loop of one's own: `engine.backward(losses)` stands where `loss.backward()` stood. Nothing else changes.

python examples/loops/bare.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cotrain.balance import Engine, NashMTL


class Net(nn.Module):
    """A trunk that two tasks share, and a head for each."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.price = nn.Linear(16, 1)
        self.sold = nn.Linear(16, 1)

    def losses(self, x: Tensor, price: Tensor, sold: Tensor) -> dict[str, Tensor]:
        """One number a task."""
        h = self.trunk(x)
        return {
            "price": nn.functional.mse_loss(self.price(h).squeeze(1), price),
            "sold": nn.functional.binary_cross_entropy_with_logits(self.sold(h).squeeze(1), sold),
        }


def batches(count: int, rows: int = 64) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Rows whose price and sale both follow from the same two inputs."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(count):
        x = torch.randn(rows, 8, generator=generator)
        drawn.append((x, x[:, 0] * x[:, 1], (x[:, 0] + x[:, 2] > 0).float()))
    return drawn


def main(steps: int = 200) -> list[dict[str, float]]:
    """Train, and give each step's losses."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    engine = Engine(net.trunk, NashMTL())
    history = []
    for x, price, sold in batches(steps):
        optimizer.zero_grad()
        losses = net.losses(x, price, sold)
        report = engine.backward(losses)
        optimizer.step()
        history.append({**{name: loss.item() for name, loss in losses.items()}, "cosine": float(report.cosines[0, 1])})
    return history


if __name__ == "__main__":
    history = main()
    print("first", history[0], "last", history[-1], sep="\n")
