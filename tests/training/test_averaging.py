"""Averages of weights follow their recursions, are what is judged and kept, and leave the training as it was, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.errors import ConfigError
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training import schedule_free
from cotrain.training.averaging import estimate_statistics_, lent
from cotrain.training.ema import EMA, decay_at
from cotrain.training.evaluate import gather, scores
from cotrain.training.loop import Trainer
from cotrain.training.optimise import NamedOptimizer, spoken
from cotrain.training.optimizer_settings import GroupSettings, OptimizerSettings
from cotrain.training.schedule_free import ScheduleFreeAdamW
from cotrain.training.session import Session
from cotrain.training.settings import settings_from
from cotrain.training.swa import SWA

Fresh = Callable[..., Model]
Rows = Callable[..., Any]
CHOICES: dict[str, dict[str, Any]] = {
    "ema": {"averaging": {"name": "ema", "decay": 0.9, "every": 3}},
    "ema later": {"averaging": {"name": "ema", "start": 0.4}},
    "swa": {"averaging": {"name": "swa", "start": 0.3}},
    "swa at a rate of its own": {"averaging": {"name": "swa", "start": 0.3, "lr": 1e-3}},
    "schedule free": {"optimizer": {"name": "schedule_free_adamw", "lr": 0.01, "warmup_steps": 5}, "schedule": "constant"},
    "mixup": {"mixup": 0.4, "accumulate": 2},
    "groups": {"optimizer": {"groups": [{"parameters": "heads.*", "lr_factor": 0.1}, {"parameters": "*.bias", "lr": 0.01}]}},
}  # fmt: skip


def normalised() -> Model:
    return Model(encoder=MLP(widths=[8], norm="batch", dropout=0.2), tasks=[Binary("yes"), Regression("number")])


def bits(model: nn.Module) -> dict[str, list[int]]:
    return {
        name: one.contiguous().view(-1).view(torch.uint8).tolist()
        for name, one in model.state_dict().items()
        if isinstance(one, Tensor)
    }


def walked(layer: nn.Linear, values: list[Tensor], seen: Callable[[int], None]) -> None:
    for place, value in enumerate(values):
        with torch.no_grad():
            layer.weight.copy_(value)
        seen(place)


def test_the_moving_average_follows_its_recursion_in_doubles() -> None:
    source = torch.Generator().manual_seed(0)
    values = [torch.randn(2, 3, generator=source, dtype=torch.float64) for _ in range(40)]
    for every in (1, 4):
        layer = nn.Linear(3, 2, bias=False, dtype=torch.float64)
        ema = EMA(layer, decay=0.7, every=every)
        walked(layer, values, lambda place, ema=ema: ema.stepped(0.0))  # type: ignore[misc]
        average = values[0]
        for t, value in enumerate(values[1:], 1):
            if t % every == 0:
                kept = min(0.7, (1 + t) / (10 + t)) ** every
                average = kept * average + (1 - kept) * value
        assert torch.allclose(ema.averages()["weight"], average, rtol=0, atol=1e-12)
    assert decay_at(0, 0.999) == 0.1


def test_the_mean_over_epochs_is_the_mean() -> None:
    values = [torch.full((1, 2), float(place)) for place in range(10)]
    layer = nn.Linear(2, 1, bias=False)
    swa = SWA(layer, start=0.75)
    walked(layer, values, lambda place: swa.epoch_ended((place + 1) / 10))
    assert torch.equal(swa.averages()["weight"], torch.full((1, 2), (7 + 8 + 9) / 3))


def test_half_precision_weights_are_averaged_in_float32() -> None:
    layer = nn.Linear(2, 1, bias=False, dtype=torch.bfloat16)
    ema, swa = EMA(layer, every=1), SWA(layer, start=0.0)
    walked(layer, [torch.zeros(1, 2), torch.ones(1, 2)], lambda place: (ema.stepped(0.0), swa.epoch_ended(1.0)))  # type: ignore[func-returns-value]
    assert ema.averages()["weight"].dtype == swa.averages()["weight"].dtype == torch.float32
    assert ema.averages()["weight"].tolist() == [[pytest.approx(9 / 11)] * 2]
    assert swa.averages()["weight"].tolist() == [[0.5, 0.5]]


def test_schedule_free_follows_the_three_sequences_of_its_algorithm() -> None:
    lr, (beta1, beta2), eps, decay, warmup = 0.3, (0.9, 0.99), 1e-8, 0.1, 4
    parameter = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = ScheduleFreeAdamW(
        [parameter], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay, warmup_steps=warmup
    )
    x = z = 2.0
    v = total = 0.0
    for t in range(1, 30):
        y = (1 - beta1) * z + beta1 * x
        assert parameter.item() == pytest.approx(y, abs=1e-12)
        parameter.grad = 2 * parameter.detach() + 1  # of y^2 + y
        optimizer.step()
        gradient = 2 * y + 1
        v = beta2 * v + (1 - beta2) * gradient**2
        gamma = lr * (1 - beta2**t) ** 0.5 * min(1.0, t / warmup)
        z -= gamma * (gradient / (v**0.5 + eps) + decay * y)
        total += gamma**2
        x += gamma**2 / total * (z - x)
        assert optimizer.average(parameter).item() == pytest.approx(x, abs=1e-12)
    assert abs(x - -0.5) < 0.2  # the minimum of y^2 + y, but for the decay


def test_large_and_odd_parameters_step_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for piece in (2**16, 5):
        monkeypatch.setattr(schedule_free, "PIECE", piece)
        source = torch.Generator().manual_seed(0)
        shapes = ((7, 3), (2,), (4, 4), (1,), (3,))
        parameters = [nn.Parameter(torch.randn(*shape, generator=source)) for shape in shapes]
        parameters.append(nn.Parameter(torch.randn(6, 3, generator=source).t()))
        optimizer = ScheduleFreeAdamW(parameters, lr=0.1, weight_decay=0.1)
        for _ in range(4):
            for one in parameters:
                one.grad = torch.randn(one.shape, generator=source)
            optimizer.step()
        found.append([one.detach() for one in parameters] + [optimizer.average(one) for one in parameters])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-7)


def test_schedule_free_leaves_parameters_without_a_gradient_and_goes_on_by_name(fresh: Fresh) -> None:
    model = fresh()
    settings = OptimizerSettings(name="schedule_free_adamw", lr=0.1)
    optimizer = NamedOptimizer(model, settings)
    names = list(optimizer.parameters)
    for turn in range(3):
        for place, (name, parameter) in enumerate(model.named_parameters()):
            parameter.grad = torch.full_like(parameter, float(len(name))) if place or turn == 1 else None
        optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    assert [state[name]["t"] for name in names] == [1, *[3] * (len(names) - 1)]
    twin = copy.deepcopy(model)
    other = NamedOptimizer(twin, settings)
    other.load_state_dict(dict(reversed(list(state.items()))))
    for net, its in ((model, optimizer), (twin, other)):
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        its.step()
    assert bits(model) == bits(twin)


@pytest.mark.parametrize("name", list(CHOICES))
def test_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, rows: Rows, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trainer(folder: str) -> Trainer:
        torch.manual_seed(0)
        train = {"epochs": 4, "batch_size": 16, "checkpoint": {"every_steps": 3}, "keep": "last", **CHOICES[name]}
        return Trainer(normalised(), balancer=Uncertainty(), train=train, folder=tmp_path / folder)

    whole, pieces = trainer("whole"), trainer("pieces")
    whole_history = whole.fit(rows(90), rows(32, 1))

    class KilledError(Exception):
        pass

    steps = 0
    call = Session.look_ahead

    def dying(self: Session) -> None:
        nonlocal steps
        steps += 1
        if steps in (5, 8, 16, 22):
            raise KilledError
        call(self)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "look_ahead", dying)
        for _ in range(5):
            try:
                history = pieces.fit(rows(90), rows(32, 1), resume=True)
                break
            except KilledError:
                pieces = trainer("pieces")
    assert bits(pieces.model) == bits(whole.model)
    same = [{**one, "seconds": 0} for one in history.records]
    assert same == [{**one, "seconds": 0} for one in whole_history.records]


@pytest.mark.parametrize("name", ["ema", "swa", "schedule free"])
def test_the_averages_are_what_is_validated_and_kept(fresh: Fresh, rows: Rows, name: str) -> None:
    for keep in ("best", "last"):
        model = fresh()
        train = {"epochs": 5, "batch_size": 16, "keep": keep, **CHOICES[name]}
        history = Trainer(model, train=train).fit(rows(90), rows(50, 1))
        judged = history.records[-1] if keep == "last" else history.records[(history.best_epoch or 0) - 1]
        assert scores(model.tasks, gather(model, rows(50, 1))) == judged["valid"]
    plain = fresh()
    Trainer(plain, train={**train, "averaging": None}).fit(rows(90), rows(50, 1))
    assert (bits(plain) == bits(model)) == (name == "schedule free")


@pytest.mark.parametrize("averaging", ["ema", {"name": "swa", "start": 0.0}])
def test_averaging_changes_nothing_in_what_is_trained(rows: Rows, averaging: Any) -> None:
    losses = []
    for chosen in (None, averaging):
        torch.manual_seed(0)
        train = {"epochs": 3, "batch_size": 16, "averaging": chosen}
        losses.append([one["losses"] for one in Trainer(normalised(), train=train).fit(rows(90), rows(40, 1)).records])
    assert losses[0] == losses[1]


def test_what_was_lent_is_given_back_to_the_bit_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = bits(model)
    with lent(model, {"0.weight": torch.ones(4, 3)}):
        model(torch.randn(8, 3))  # moves the running statistics
        assert bits(model) != before
    assert bits(model) == before
    with pytest.raises(RuntimeError), lent(model, {"0.weight": torch.ones(4, 3)}):
        model(torch.randn(8, 7))
    assert bits(model) == before


def test_statistics_are_estimated_anew_from_the_rows_themselves() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9)).train()
    source = torch.Generator().manual_seed(0)
    batches = [3 + 2 * torch.randn(50, 3, generator=source) for _ in range(4)]
    before = torch.get_rng_state()
    estimate_statistics_(model, [*batches, torch.full((1, 3), 1e9)])
    found: Any = model[0]
    assert torch.allclose(found.running_mean, torch.stack([one.mean(0) for one in batches]).mean(0), atol=1e-5)
    assert torch.allclose(found.running_var, torch.stack([one.var(0) for one in batches]).mean(0), atol=1e-4)
    assert (found.momentum, found.training, model[1].training) == (0.1, True, True)
    assert torch.equal(torch.get_rng_state(), before)


def test_before_it_begins_the_weights_themselves_are_judged(fresh: Fresh, rows: Rows) -> None:
    found = []
    for averaging in (None, {"name": "swa", "start": 0.5}, {"name": "ema", "start": 0.5}):
        train = {"epochs": 4, "batch_size": 16, "averaging": averaging}
        found.append([one["score"] for one in Trainer(fresh(), train=train).fit(rows(90), rows(50, 1)).records])
    assert found[0][:2] == found[1][:2] == found[2][:2]
    assert found[0][2:] != found[1][2:]
    assert found[0][2:] != found[2][2:]


def test_the_rate_of_swa_holds_from_its_start_on(fresh: Fresh, rows: Rows) -> None:
    averaging = {"name": "swa", "start": 0.5, "lr": 7e-4}
    train = {"epochs": 4, "batch_size": 16, "averaging": averaging, "optimizer": {"groups": [{"parameters": "*.bias", "lr_factor": 10}]}}  # fmt: skip
    rates = [one["lr"] for one in Trainer(fresh(), train=train).fit(rows(64)).records]
    assert rates[0] > rates[1] > 7e-4 == pytest.approx(rates[2]) == pytest.approx(rates[3])


def test_groups_have_their_rate_and_their_decay_and_the_first_pattern_wins(fresh: Fresh) -> None:
    groups = (
        GroupSettings(parameters="heads.yes.*", lr=0.5),
        GroupSettings(parameters="*.bias", lr_factor=3.0, weight_decay=0.2),
        GroupSettings(parameters="heads.*", weight_decay=0.0),
    )
    optimizer = NamedOptimizer(fresh(), OptimizerSettings(lr=0.1, weight_decay=0.01, groups=groups))
    held = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.optimizer.param_groups
        for parameter in group["params"]
    }
    found = {spoken(name): held[id(parameter)] for name, parameter in optimizer.parameters.items()}
    assert found == {
        "parts.0.sharing.stages.0.layers.0.weight": (0.1, 0.01),
        "parts.0.sharing.stages.0.layers.0.bias": (pytest.approx(0.3), 0.2),
        "heads.yes.layers.1.weight": (0.5, 0.01),
        "heads.yes.layers.1.bias": (0.5, 0.0),
        "heads.number.layers.1.weight": (0.1, 0.0),
        "heads.number.layers.1.bias": (pytest.approx(0.3), 0.2),
    }
    for group in optimizer.optimizer.param_groups:
        group["lr"] *= 0.25
    assert optimizer.lr == pytest.approx(0.025)


def test_embeddings_and_frequencies_do_not_decay() -> None:
    class Numbers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frequencies = nn.Parameter(torch.ones(2, 3))
            self.mix = nn.Parameter(torch.ones(2, 3))

    network = nn.ModuleDict({"table": nn.Embedding(4, 2), "numbers": Numbers(), "norm": nn.LayerNorm(2)})
    optimizer = NamedOptimizer(network, OptimizerSettings(lr=0.1, weight_decay=0.01))
    decaying = [one for group in optimizer.optimizer.param_groups if group["weight_decay"] for one in group["params"]]
    assert len(decaying) == 1
    assert decaying[0] is network["numbers"].mix


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([{"parameters": "head.*", "lr": 0.1}], r"unknown pattern of parameters 'head\.\*'; did you mean 'heads\.\*'"),
        ([{"parameters": "heads.yess.*", "lr": 0.1}], r"did you mean 'heads\.yes\.\*'"),
        ([{"parameters": "heads.*", "lr": 1.0}, {"parameters": "heads.yes.*", "lr": 0.1}], "belong to an earlier group"),
    ],
)  # fmt: skip
def test_a_pattern_that_matches_nothing_is_answered_with_near_names(fresh: Fresh, groups: Any, message: str) -> None:
    settings = settings_from({"optimizer": {"groups": groups}}).optimizer
    with pytest.raises(ConfigError, match=message):
        NamedOptimizer(fresh(), settings)
