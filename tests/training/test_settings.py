"""Settings refuse what cannot be, with the name and the cure."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cotrain.core.errors import ConfigError
from cotrain.training.optimizer_settings import OptimizerSettings
from cotrain.training.settings import CheckpointSettings, EarlyStopping, TrainSettings, settings_from


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, "unknown key under train 'epoch'; did you mean 'epochs'"),
        ({"optimizer": {"name": "adam"}}, "unknown optimizer 'adam'; did you mean 'adamw'"),
        ({"optimizer": {"learning_rate": 1}}, r"unknown key under train\.optimizer 'learning_rate'"),
        ({"optimizer": {"lr": 0}}, r"optimizer\.lr must be above 0, got 0"),
        ({"optimizer": {"lr": "1e-3"}}, r"optimizer\.lr must be a number, got '1e-3'; write it without quotes"),
        ({"optimizer": {"betas": [0.9]}}, r"optimizer\.betas must be two numbers"),
        ({"optimizer": {"nesterov": True, "momentum": 0}}, "nesterov needs momentum"),
        (
            {"optimizer": {"name": "adamw", "momentum": 0.95}},
            "optimizer.momentum is read by sgd only, got 0.95 for 'adamw'",
        ),
        ({"optimizer": {"name": "sgd", "eps": 1e-6}}, "optimizer.eps is read by adamw and schedule_free_adamw only"),
        ({"schedule": {"name": "cosine", "factor": 0.1}}, "schedule.factor is read by plateau only"),
        ({"schedule": {"name": "constant", "floor": 0.1}}, "schedule.floor is read by cosine and one_cycle only"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, r"epochs must be a whole number, got 2\.5"),
        ({"batch_size": True}, "batch_size must be a whole number, got True"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"schedule": {"warmup": 1.5}}, r"schedule\.warmup must be at least 0 and at most 0\.999, got 1\.5"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"early_stopping": {"patience": 0}}, r"early_stopping\.patience must be at least 1"),
        ({"checkpoint": {"every_steps": 0}}, r"checkpoint\.every_steps must be at least 1"),
        ({"clip": 0}, "clip must be above 0"),
        ({"clip": float("nan")}, "clip must be above 0"),
        ({"keep": "first"}, "unknown keep 'first'"),
        ({"batch_size": "automatic"}, "batch_size must be a whole number, got 'automatic'"),
        ({"optimizer": {"lr": "automatic"}}, r"optimizer\.lr must be a number, got 'automatic'"),
        ({"optimizer": {"lr": "auto", "groups": [{"parameters": "a", "lr": 1}]}}, "lr_factor beside lr: auto"),
        ({"mixup": 0}, "mixup must be above 0, got 0"),
        ({"mixup": True}, "mixup must be a number, got True"),
        ({"averaging": "emma"}, "unknown averaging 'emma'; did you mean 'ema'"),
        ({"averaging": {"decey": 0.9}}, r"unknown key under train\.averaging 'decey'; did you mean 'decay'"),
        ({"averaging": {"decay": 1.0}}, r"averaging\.decay must be above 0 and at most 1, got 1"),
        ({"averaging": {"start": 1.0}}, r"averaging\.start must be at least 0 and at most 0\.999"),
        ({"averaging": {"name": "swa", "decay": 0.9}}, r"averaging\.decay is read by ema only, got 0\.9 for 'swa'"),
        ({"averaging": {"name": "ema", "lr": 0.1}}, r"averaging\.lr is read by swa only"),
        ({"optimizer": "schedule_free_adamw"}, "schedule must be constant .* got cosine; write `schedule: constant`"),
        (
            {"optimizer": "schedule_free_adamw", "schedule": {"name": "constant", "warmup": 0.1}},
            r"got warmup 0\.1; write `schedule: constant`, and optimizer\.warmup_steps",
        ),
        (
            {"optimizer": "schedule_free_adamw", "schedule": "constant", "averaging": "ema"},
            "averaging must be null beside optimizer schedule_free_adamw, .* got ema",
        ),
        ({"optimizer": {"warmup_steps": 5}}, r"optimizer\.warmup_steps is read by schedule_free_adamw only"),
        (
            {"optimizer": {"name": "schedule_free_adamw", "betas": [0.0, 0.9]}, "schedule": "constant"},
            r"optimizer\.betas of schedule_free_adamw must begin above 0",
        ),
        ({"optimizer": {"groups": [{"parameters": "heads.*"}]}}, r"optimizer\.groups.* 'heads\.\*' changes nothing"),
        ({"optimizer": {"groups": [{"parameters": "a", "lr": 1, "lr_factor": 2}]}}, "got both for 'a'; keep one"),
        (
            {"optimizer": {"groups": [{"parameter": "a"}]}},
            r"unknown key under train\.optimizer\.groups\[0\] 'parameter'; did you mean 'parameters'",
        ),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from(given)


def test_keys_become_settings() -> None:
    made = settings_from(
        {"epochs": 3, "optimizer": "sgd", "schedule": {"name": "plateau"}, "early_stopping": None, "precision": 32}
    )
    assert made.optimizer == OptimizerSettings(name="sgd")
    assert made.schedule.name == "plateau"
    assert made.early_stopping is None
    assert made.precision == "32"
    assert settings_from(made) is made
    assert settings_from(None) == TrainSettings()
    assert settings_from({"precision": "bf16-mixed"}).precision == "bf16"


def test_pydantic_validates_them_as_they_are_and_collects_every_problem() -> None:
    adapter = TypeAdapter(TrainSettings)
    made = adapter.validate_python({"epochs": 3, "optimizer": {"betas": [0.8, 0.9]}, "early_stopping": None})
    assert made == TrainSettings(epochs=3, optimizer=OptimizerSettings(betas=(0.8, 0.9)), early_stopping=None)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(
            {"optimizer": {"lr": -1}, "early_stopping": {"patience": 0}, "checkpoint": {"every_steps": 0}}
        )
    assert {error["loc"][0] for error in caught.value.errors()} == {"optimizer", "early_stopping", "checkpoint"}
    assert (EarlyStopping().patience, CheckpointSettings().each_epoch) == (5, True)
