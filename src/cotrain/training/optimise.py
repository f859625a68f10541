"""The optimiser of the network's parameters, with everything it remembers kept by parameter name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from cotrain.core.errors import ConfigError, RunError, TrainingError, unknown
from cotrain.core.naming import unslot
from cotrain.training.optimizer_settings import GroupSettings, OptimizerSettings
from cotrain.training.schedule_free import ScheduleFreeAdamW


def decays(module: nn.Module, leaf: str, parameter: Tensor) -> bool:
    """Whether weight decay belongs on this parameter.

    Not on norms, biases, vectors and scalars; nor on embeddings of categories (a rare category would fade between its rows), nor on a
    parameter called `frequencies` (of periodic number embeddings).
    """
    if parameter.dim() < 2 or leaf.endswith("bias") or leaf == "frequencies":
        return False
    return not isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and "norm" not in type(module).__name__.lower()


def spoken(name: str) -> str:
    """A parameter's name without the marks that a module's keys carry.

    >>> spoken("heads.of_income.linear.weight")
    'heads.income.linear.weight'
    """
    return ".".join(unslot(part) for part in name.split("."))


def assigned(names: Sequence[str], groups: Sequence[GroupSettings]) -> dict[str, GroupSettings]:
    """{parameter: the first group whose pattern matches it}; parameters of no group are absent.

    Raises ConfigError for a pattern that matches nothing, with the nearest names, or nothing that an earlier one has left.
    """
    found: dict[str, GroupSettings] = {}
    for group in groups:
        pattern = group.parameters
        matched = [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(spoken(name), pattern)]
        if not matched:
            said = [spoken(name) for name in names]
            above = {".".join(one.split(".")[:depth]) + ".*" for one in said for depth in range(1, one.count(".") + 1)}
            known = [*sorted(above, key=lambda one: (one.count("."), one)), *said]
            raise ConfigError("train.optimizer.groups: " + unknown("pattern of parameters", pattern, known))
        fresh = [name for name in matched if name not in found]
        if not fresh:
            raise ConfigError(
                f"train.optimizer.groups: all parameters that '{pattern}' matches belong to an earlier group, so it changes nothing; "
                "move it up or take it out"
            )
        found |= dict.fromkeys(fresh, group)
    return found


class NamedOptimizer:
    """A torch optimiser over a network's trainable parameters, in groups of one learning rate and one weight decay.

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
        special = assigned(list(self.parameters), settings.groups)
        members: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            owner, _, leaf = name.rpartition(".")
            lr, decay = settings.peak, settings.weight_decay
            if not decays(model.get_submodule(owner), leaf, parameter):
                decay = 0.0
            if (group := special.get(name)) is not None:
                lr = lr * group.lr_factor if group.lr_factor is not None else lr if group.lr is None else group.lr
                decay = decay if group.weight_decay is None else group.weight_decay
            members.setdefault((lr, decay), []).append(parameter)
        groups = [{"params": found, "lr": lr, "weight_decay": decay} for (lr, decay), found in members.items()]
        self.optimizer = _made(groups, settings)
        self.peak = settings.peak
        self._first = float(groups[0]["lr"])  # type: ignore[arg-type]

    @property
    def lr(self) -> float:
        """The learning rate of the next step, of parameters in no group of their own."""
        return self.peak * float(self.optimizer.param_groups[0]["lr"]) / self._first

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
    if settings.name == "schedule_free_adamw":
        shared = {"betas": settings.betas, "eps": settings.eps, "warmup_steps": settings.warmup_steps}
        return ScheduleFreeAdamW(groups, lr=settings.peak, **shared)  # type: ignore[arg-type]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    if settings.name == "sgd":
        return SGD(groups, lr=settings.peak, momentum=settings.momentum, nesterov=settings.nesterov, fused=fused)
    return AdamW(groups, lr=settings.peak, betas=settings.betas, eps=settings.eps, fused=fused)


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
