"""The optimiser of the network's parameters, with everything it remembers kept by parameter name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from cotrain.core.errors import RunError, TrainingError
from cotrain.training.optimizer_settings import OptimizerSettings


def decays(module: nn.Module, leaf: str, parameter: Tensor) -> bool:
    """Whether weight decay belongs on this parameter: not on norms, biases, vectors and scalars."""
    return parameter.dim() > 1 and not leaf.endswith("bias") and "norm" not in type(module).__name__.lower()


class NamedOptimizer:
    """A torch optimiser over a network's trainable parameters in two groups: those that decay, and the others.

    `state_dict` keeps the moments by parameter name, so that they find their place in a network whose parameters come in another order.
    """

    def __init__(self, model: nn.Module, settings: OptimizerSettings) -> None:
        self.parameters: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        if not self.parameters:
            raise TrainingError(
                "the network must have parameters to train, got none that require a gradient; is all of it frozen?"
            )
        decaying: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.parameters.items():
            owner, _, leaf = name.rpartition(".")
            (decaying if decays(model.get_submodule(owner), leaf, parameter) else others).append(parameter)
        groups = [
            {"params": members, "weight_decay": decay}
            for members, decay in ((decaying, settings.weight_decay), (others, 0.0))
            if members
        ]
        self.optimizer = _made(groups, settings)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """One step from the gradients that lie in `.grad`."""
        self.optimizer.step()

    def clear(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """The gradients there are, in the network's order."""
        return [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]

    def state_dict(self) -> dict[str, Any]:
        held = self.optimizer.state
        return {name: dict(held[parameter]) for name, parameter in self.parameters.items() if parameter in held}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`. Raises RunError if it names a parameter this network does not have."""
        strangers = [name for name in state if name not in self.parameters]
        if strangers:
            raise RunError(
                f"the checkpoint holds optimiser state for '{strangers[0]}' ({len(strangers)} such), which this network does not have; "
                "resume with the config it was started with"
            )
        order = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        whole = self.optimizer.state_dict()
        whole["state"] = {
            index: state[names[id(parameter)]] for index, parameter in enumerate(order) if names[id(parameter)] in state
        }
        self.optimizer.load_state_dict(whole)


def _made(groups: list[dict[str, Any]], settings: OptimizerSettings) -> Optimizer:
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    if settings.name == "sgd":
        return SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=fused)
    return AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=fused)


def total_norm(gradients: list[Tensor]) -> Tensor:
    """The length of the whole gradient, a 0-dim tensor; not finite exactly if one of the gradients is not (or the sum overflows).

    >>> float(total_norm([torch.tensor([3.0]), torch.tensor([4.0])]))
    5.0
    """
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


def shorten_(gradients: list[Tensor], norm: float, limit: float | None) -> None:
    """Scale the gradients so that their whole length is at most `limit`."""
    if limit is not None and norm > limit:
        torch._foreach_mul_(gradients, limit / norm)
