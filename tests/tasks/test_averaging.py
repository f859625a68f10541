"""Members averaged in probability: the order of rows, sure rows, and other ways to the same number."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score

from cotrain.core.fields import Field
from cotrain.tasks.averaging import mean_log_chance, mean_logit
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass

RANDOM = torch.Generator().manual_seed(0)


def test_the_auc_of_averaged_logits_is_exactly_that_of_mean_probabilities() -> None:
    logits = 3 * torch.randn(8, 500, 1, generator=RANDOM, dtype=torch.float64)
    label = (torch.rand(500, generator=RANDOM) < torch.sigmoid(logits.mean((0, 2)))).double()
    averaged = Binary("yes").averaged(logits)
    target = Field.dense(label.reshape(-1, 1))
    expected = roc_auc_score(label.numpy(), torch.sigmoid(logits).mean(0).reshape(-1).numpy())
    scores = Binary("yes").metrics.score(averaged, target, None)
    assert scores["auc"] == expected
    mean = torch.sigmoid(logits).mean(0).reshape(-1).numpy()
    np.testing.assert_allclose(scores["log_loss"], log_loss(label.numpy(), mean), rtol=1e-12)


def test_averaged_classes_have_the_mean_probability_of_the_members() -> None:
    logits = 3 * torch.randn(5, 40, 4, generator=RANDOM, dtype=torch.float64)
    averaged = Multiclass("kind", classes=4).averaged(logits)
    torch.testing.assert_close(torch.softmax(averaged, 1), torch.softmax(logits, 2).mean(0))
    torch.testing.assert_close(torch.logsumexp(averaged, 1), torch.zeros(40, dtype=torch.float64))


def test_two_classes_agree_with_yes_and_no() -> None:
    logits = torch.randn(6, 30, 1, generator=RANDOM, dtype=torch.float64)
    pair = mean_log_chance(torch.cat([torch.zeros_like(logits), logits], 2))
    torch.testing.assert_close(pair[:, 1:] - pair[:, :1], mean_logit(logits))


def test_one_member_is_what_it_was_and_sure_members_stay_finite() -> None:
    logits = torch.tensor([[-300.0], [0.5], [88.0], [1e4]])
    torch.testing.assert_close(mean_logit(logits.unsqueeze(0)), logits)
    mixed = mean_logit(torch.stack([logits, -logits]))
    assert bool(mixed.isfinite().all())
    torch.testing.assert_close(mixed, torch.zeros_like(logits))
    assert bool(mean_log_chance(1e4 * torch.randn(3, 7, 5, generator=RANDOM)).isfinite().all())


def test_the_loss_of_the_average_is_at_most_the_mean_of_the_losses() -> None:
    logits = 4 * torch.randn(16, 200, 1, generator=RANDOM)
    target = Field.dense((torch.rand(200, 1, generator=RANDOM) < 0.4).float())
    task = Binary("yes")
    alone = torch.stack([task.loss(one, target, None)[0] for one in logits]).mean()
    assert float(task.loss(task.averaged(logits), target, None)[0]) < float(alone)
