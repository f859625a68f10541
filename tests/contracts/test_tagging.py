"""A toy tagging task goes the whole way: ragged labels, a sequence head, (sum, count) per token, metrics, codec round trip."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from cotrain.core.fields import Batch, Field, label_count
from cotrain.core.spec import FieldSpec, Task
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary

WORDS = pl.DataFrame({"tag": [["b", "a"], ["a", None, "c"], [], [None, None]]})


def sentences() -> tuple[Field, Field]:
    """(tokens, a label a row) of four rows with 2, 3, 0 and 2 tokens."""
    offsets = torch.tensor([0, 2, 5, 5, 7])
    tokens = Field(torch.tensor([1, 2, 3, 4, 5, 6, 7]), torch.ones(4, dtype=torch.bool), offsets)
    return tokens, Field(torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([True, True, False, True]))


def test_the_codec_turns_lists_into_a_ragged_partly_valid_field_and_back(toys: SimpleNamespace) -> None:
    task = toys.Tagging("tag").refitted(WORDS)
    target = task.codec.encode(WORDS)
    target.check("tag")
    assert isinstance(task, Task)
    assert target.offsets is not None
    assert target.offsets.tolist() == [0, 2, 5, 5, 7]
    assert target.present.tolist() == [True, True, False, False]
    assert target.held().tolist() == [True, True, True, False, True, False, False]
    stored = toys.TagCodec.from_json(json.loads(json.dumps(task.codec.to_json())))
    assert torch.equal(stored.encode(WORDS).values, target.values)
    perfect = torch.nn.functional.one_hot(target.values, 3).float() * 50
    assert [word for word, held in zip(task.decode(perfect)["tag"], target.held().tolist(), strict=True) if held] == [
        "b", "a", "a", "c",
    ]  # fmt: skip


def test_the_loss_counts_tokens_and_a_rows_weight_goes_to_each_of_them(toys: SimpleNamespace) -> None:
    task = toys.Tagging("tag").refitted(WORDS)
    target, weight = task.codec.encode(WORDS), torch.tensor([2.0, 0.5, 1.0, 1.0])
    output = torch.randn(7, 3)
    total, count = task.loss(output, target, weight)
    element = -output.log_softmax(1)[torch.arange(7), target.values]
    by_hand = 2.0 * (element[0] + element[1]) + 0.5 * (element[2] + element[4])
    assert float(count) == pytest.approx(5.0) == pytest.approx(float(label_count(target, weight)))
    assert float(total) == pytest.approx(float(by_hand), rel=1e-6)
    scores = task.metrics.score(
        torch.nn.functional.one_hot(torch.tensor([1, 0, 1, 0, 2, 0, 0]), 3).float(), target, weight
    )
    assert task.error(scores) == pytest.approx(0.5 / 5)


@pytest.mark.parametrize("sharing", [Hard(), Apart(), MMoE(experts=3)], ids=lambda one: one.name)
def test_tags_and_a_row_label_learn_side_by_side(toys: SimpleNamespace, sharing: Hard) -> None:
    task = toys.Tagging("tag").refitted(WORDS)
    model = Model(encoder=toys.Tokens(), sharing=sharing, tasks=[task, Binary("good")])
    model.build({"main": {"words": FieldSpec("tokens")}})
    tokens, good = sentences()
    batch = Batch({"words": tokens}, {"tag": task.codec.encode(WORDS), "good": good})
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    first = {name: float(loss.detach()) for name, loss in model.losses([batch]).items()}
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model.losses([batch]).values())).sum().backward()
        optimizer.step()
    last = {name: float(loss.detach()) for name, loss in model.losses([batch]).items()}
    assert all(last[name] < 0.1 * first[name] for name in first)
    answers = model.eval().predict(batch)
    assert answers["tag"].shape == (7, 3)
    assert task.metrics.score(answers["tag"], batch.targets["tag"], None)["accuracy"] == 1.0


def test_a_head_is_shown_its_target_while_training_and_never_else(toys: SimpleNamespace) -> None:
    task = toys.Tagging("tag").refitted(WORDS)
    model = Model(encoder=toys.Tokens(), tasks=[task]).build({"main": {"words": FieldSpec("tokens")}})
    tokens, _ = sentences()
    batch = Batch({"words": tokens}, {"tag": task.codec.encode(WORDS)})
    head = next(iter(model.heads.values()))
    model(batch)
    assert head.shown is batch.targets["tag"]
    model.eval()(batch)
    assert head.shown is None
    model(batch)
    model.predict(batch)
    assert head.shown is None


def test_the_constant_reference_is_the_minimiser_of_the_per_token_loss(toys: SimpleNamespace) -> None:
    task = toys.Tagging("tag").refitted(WORDS)
    target = task.codec.encode(WORDS)
    best = task.reference(target, None)

    def mean(constant: torch.Tensor) -> float:
        total, count = task.loss(constant.expand(7, 3), target, None)
        return float(total / count)

    assert all(mean(best) <= mean(best + 0.3 * torch.randn(3)) for _ in range(20))
