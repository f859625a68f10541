"""AdamW without a schedule: the rate stays constant, and an average of the iterates takes the place of its decay.

    y_t = (1 - beta1) z_t + beta1 x_t                      where the gradient g_t is taken
    v_t = beta2 v_{t-1} + (1 - beta2) g_t^2
    gamma_t = lr sqrt(1 - beta2^t) min(1, t / warmup)
    z_{t+1} = z_t - gamma_t (g_t / (sqrt(v_t) + eps) + weight_decay y_t)
    x_{t+1} = (1 - c_t) x_t + c_t z_{t+1},                 c_t = gamma_t^2 / sum_{i <= t} gamma_i^2

Steps t count from 1, x_1 = z_1 are the initial values. The network holds y while it is trained; x is what is judged and kept.

Source: A. Defazio et al., The Road Less Scheduled, NeurIPS 2024, algorithm 1 (Schedule-Free AdamW).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from cotrain.core.errors import ConfigError
from cotrain.training.averaging import Averaging


class ScheduleFreeAdamW(Optimizer):
    """Schedule-Free AdamW. Parameters hold y, the state z and v; x is made from them when asked for, so memory is that of AdamW.

    lr: gamma above, constant. betas: (beta1, beta2), beta1 above 0 (x is read off y and z); defaults, and that of `eps`, as in the
    authors' AdamW. warmup_steps: steps over which the rate rises linearly. Parameters without a gradient in a step stay as they are.

    One step on f(y) = y from 0, lr 1, no decay: v_1 = .001, gamma_1 = sqrt(.001), c_1 = 1, so z_2 = x_2 = y_2 = -1.

    >>> parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    >>> optimizer = ScheduleFreeAdamW([parameter], lr=1.0, eps=1e-12)
    >>> parameter.grad = torch.ones(1, dtype=torch.float64)
    >>> optimizer.step()
    >>> round(parameter.item(), 6), round(optimizer.average(parameter).item(), 6)
    (-1.0, -1.0)
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
    ) -> None:
        if not 0 < betas[0] < 1 or not 0 <= betas[1] < 1:
            raise ConfigError(
                f"optimizer.betas of schedule_free_adamw must lie in (0, 1) and [0, 1), got {list(betas)}; "
                "beta1 is the share of the average in the point of the gradient, .9 is usual"
            )
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup_steps": warmup_steps}
        )

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step from the gradients in `.grad`, which were taken at y; the parameters hold the next y afterwards."""
        answer = None
        if closure is not None:
            with torch.enable_grad():
                answer = closure()
        for group in self.param_groups:
            together: dict[tuple[int, float], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    if not state:
                        state |= {"z": parameter.detach().clone(), "v": torch.zeros_like(parameter), "t": 0, "sum": 0.0}
                    together.setdefault((state["t"], state["sum"]), []).append(parameter)
            for (
                done,
                total,
            ), parameters in together.items():  # one list but where a parameter was without gradients for a while
                self._step(group, parameters, done + 1, total)
        return answer

    def _step(self, group: dict[str, Any], parameters: list[Tensor], t: int, total: float) -> None:
        """Step t of parameters that have all made as many; total: sum of gamma_i^2 so far."""
        beta1, beta2 = group["betas"]
        warm = min(1.0, t / group["warmup_steps"]) if group["warmup_steps"] else 1.0
        gamma = group["lr"] * (1 - beta2**t) ** 0.5 * warm
        total += gamma * gamma
        c = gamma * gamma / total if total > 0 else 0.0
        y = [parameter.detach() for parameter in parameters]
        g = [parameter.grad for parameter in parameters if parameter.grad is not None]
        z, v = ([self.state[parameter][key] for parameter in parameters] for key in ("z", "v"))
        decay, a = group["weight_decay"], gamma * (1 - beta1 * (1 - c))
        # With x eliminated, and u = g / (sqrt(v) + eps): y' = (1 - c) y + c z - a (u + decay y), z' = z - gamma (u + decay y).
        for y_, g_, z_, v_ in pieces(y, g, z, v):
            torch._foreach_mul_(v_, beta2)
            torch._foreach_addcmul_(v_, g_, g_, 1 - beta2)
            size = torch._foreach_sqrt(v_)
            torch._foreach_add_(size, group["eps"])
            if decay:
                torch._foreach_add_(z_, y_, alpha=-gamma * decay)
            torch._foreach_mul_(
                y_, 1 - c + (c * gamma - a) * decay
            )  # what z has lost to decay already, y must not gain by it
            torch._foreach_add_(y_, z_, alpha=c)
            torch._foreach_addcdiv_(y_, g_, size, -a)
            torch._foreach_addcdiv_(z_, g_, size, -gamma)
        for parameter in parameters:
            self.state[parameter] |= {"t": t, "sum": total}

    @torch.no_grad()
    def average(self, parameter: Tensor) -> Tensor:
        """x of a parameter: (y - (1 - beta1) z) / beta1; the parameter itself before its first step."""
        state = self.state.get(parameter)
        if not state:
            return parameter.detach().clone()
        beta1 = self.defaults["betas"][0]
        x: Tensor = torch.lerp(state["z"], parameter.detach(), 1 / beta1)
        return x


PIECE = 2**16
"""Numbers worked on at once on a CPU: nine passes over them stay in its cache."""


def pieces(*lists: list[Tensor]) -> Iterator[tuple[list[Tensor], ...]]:
    """Lists of tensors of the same shapes, cut alike into lists of views with at most `PIECE` numbers; uncut on a GPU."""
    if lists[0][0].device.type != "cpu":
        yield lists
        return
    held: tuple[list[Tensor], ...] = tuple([] for _ in lists)
    room = PIECE
    for row in zip(*lists, strict=True):
        whole = row[0].numel() <= PIECE or not all(one.is_contiguous() for one in row)
        cut = [(one,) if whole else one.view(-1).split(PIECE) for one in row]
        for part in zip(*cut, strict=True):
            if held[0] and part[0].numel() > room:
                yield held
                held, room = tuple([] for _ in lists), PIECE
            for one, into in zip(part, held, strict=True):
                into.append(one)
            room -= part[0].numel()
    yield held


class ScheduleFreeAverages(Averaging):
    """x of every parameter, as the optimiser has it."""

    def __init__(self, optimizer: ScheduleFreeAdamW, parameters: Mapping[str, Tensor]) -> None:
        self.optimizer, self.parameters = optimizer, parameters

    def averages(self) -> Mapping[str, Tensor]:
        return {name: self.optimizer.average(one) for name, one in self.parameters.items()}
