"""Augmentation: a pure function of its generator, exact where it can be, and targets go where their pictures go."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.data.augment import Augmentation, AugmentSettings
from cotrain.data.picture_colours import ColourSettings, coloured, erased, grey
from cotrain.data.picture_moves import AffineSettings, affines, after, crops, flips, moved
from cotrain.tasks import Box, Multiclass

BOX = Box("where", columns=["a", "b", "c", "d"], visible=0.0)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(rows: int = 6, channels: int = 3, height: int = 8, width: int = 12) -> Tensor:
    return torch.randint(0, 256, (rows, channels, height, width), dtype=torch.uint8)


def batch(values: Tensor, boxes: Tensor | None = None) -> Batch:
    classes = Field.dense(torch.arange(len(values)))
    targets = {"digit": classes} | ({} if boxes is None else {"where": Field.dense(boxes)})
    return Batch({"photo": Field.dense(values)}, targets, None, torch.arange(len(values)))


ALL = AugmentSettings(
    flip="both", crop=2, affine=AffineSettings(rotate=20, scale=0.2, translate=0.1, shear=10),
    colour=ColourSettings(brightness=0.3, contrast=0.3, saturation=0.3), erase=0.3,
)  # fmt: skip


def test_the_same_generator_gives_the_same_bits_and_leaves_what_it_was_given() -> None:
    augment = Augmentation({"photo": ALL}, [BOX, Multiclass("digit", classes=6)])
    given = batch(pictures(), torch.tensor([[0.1, 0.2, 0.5, 0.9]]).repeat(6, 1))
    kept = given.inputs["photo"].values.clone()
    one, again, other = (augment(given, draws(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.inputs["photo"].values, again.inputs["photo"].values)
    assert torch.equal(one.targets["where"].values, again.targets["where"].values)
    assert not torch.equal(one.inputs["photo"].values, other.inputs["photo"].values)
    assert torch.equal(given.inputs["photo"].values, kept)
    assert torch.equal(one.targets["digit"].values, given.targets["digit"].values)
    assert torch.equal(one.row, given.row)
    values = one.inputs["photo"].values
    assert values.dtype == torch.float32
    assert 0 <= float(values.min()) <= float(values.max()) <= 1 + 1e-6
    one.check()


def test_nothing_asked_for_changes_nothing() -> None:
    given = batch(pictures())
    assert Augmentation({"photo": AugmentSettings()})(given, draws()).inputs == given.inputs
    still = Augmentation({"photo": AugmentSettings(affine=AffineSettings(), colour=ColourSettings())})(given, draws())
    torch.testing.assert_close(
        still.inputs["photo"].values, given.inputs["photo"].values / 255, atol=1e-5, rtol=0
    )  # fmt: skip


def test_mirroring_and_cropping_move_whole_pixels() -> None:
    values = pictures(64).float() / 255
    for flip, axes in (("horizontal", (3,)), ("vertical", (2,))):
        found = moved(values, flips(64, flip, draws()), exact=True)  # type: ignore[arg-type]
        mirrored = values.flip(axes)
        each = [torch.equal(a, b) or torch.equal(a, c) for a, b, c in zip(found, values, mirrored, strict=True)]
        assert all(each)
        assert 10 < sum(torch.equal(a, c) for a, c in zip(found, mirrored, strict=True)) < 54
    matrix = crops(64, 3, (8, 12), draws())
    found = moved(values, matrix, exact=True)
    padded = torch.nn.functional.pad(values, (3, 3, 3, 3))
    for row in range(64):
        right, down = (matrix[row, :, 2] * torch.tensor([12, 8])).round().int().tolist()
        assert torch.equal(found[row], padded[row, :, 3 - down : 11 - down, 3 - right : 15 - right])
    assert {-3, 3} <= set((matrix[:, 0, 2] * 12).round().int().tolist())


def test_a_turn_in_pixels_is_a_turn_whatever_the_sides() -> None:
    matrix = affines(200, AffineSettings(rotate=90), (10, 40), draws())
    sides = torch.tensor([40.0, 10.0])
    pixels = matrix[:, :, :2] * sides.unsqueeze(1) / sides
    torch.testing.assert_close(pixels @ pixels.mT, torch.eye(2).repeat(200, 1, 1), atol=1e-5, rtol=0)
    middle = torch.full((2, 1), 0.5)
    torch.testing.assert_close(
        matrix[:, :, :2] @ middle + matrix[:, :, 2:], middle.repeat(200, 1, 1), atol=1e-6, rtol=0
    )
    assert float(torch.atan2(pixels[:, 1, 0], pixels[:, 0, 0]).abs().max()) <= math.pi / 2 + 1e-5
    grown = affines(200, AffineSettings(scale=0.5), (10, 40), draws())[:, 0, 0]
    assert 1 / 1.5 - 1e-6 < float(grown.min()) < 0.75
    assert 1.35 < float(grown.max()) < 1.5 + 1e-6


def test_maps_follow_one_another() -> None:
    one, other = affines(5, AffineSettings(rotate=30, translate=0.3), (4, 4), draws()), flips(5, "both", draws(1))
    point = torch.rand(5, 2, 1)
    first = one[:, :, :2] @ point + one[:, :, 2:]
    joined = after(other, one)
    torch.testing.assert_close(
        joined[:, :, :2] @ point + joined[:, :, 2:], other[:, :, :2] @ first + other[:, :, 2:]
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{"flip": "both"}, {"crop": 4}, {"affine": AffineSettings(translate=0.1, scale=0.2)}, {"flip": "horizontal", "crop": 3, "affine": AffineSettings(scale=0.1)}],
)  # fmt: skip
def test_a_box_stays_around_what_it_was_around(settings: dict[str, Any]) -> None:
    rows, side = 40, 32
    corners = torch.tensor([[8, 10, 20, 16]]).repeat(rows, 1)
    values = torch.zeros(rows, 1, side, side)
    values[:, :, 10:16, 8:20] = 1.0
    augment = Augmentation({"photo": AugmentSettings(**settings)}, [BOX])
    found = augment(batch(values, corners / side), draws(5))
    for picture, box in zip(found.inputs["photo"].values, found.targets["where"].values, strict=True):
        ys, xs = (picture[0] > 0.5).nonzero().T
        seen = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / side
        torch.testing.assert_close(box, seen, atol=1.01 / side, rtol=0)


def test_fills_are_what_they_say() -> None:
    values = torch.ones(8, 1, 6, 6)
    shifted = affines(8, AffineSettings(translate=1.0), (6, 6), draws())
    assert float(moved(values, shifted, exact=False, fill="zeros").min()) == 0
    for fill in ("border", "reflection"):
        torch.testing.assert_close(moved(values, shifted, exact=False, fill=fill), values)  # type: ignore[arg-type]


def test_colours_are_those_worked_out_by_hand() -> None:
    picture = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1)
    luma = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6
    assert float(grey(picture)) == pytest.approx(luma)
    factors = torch.rand(3, generator=draws(2)) * 2  # brightness, contrast, saturation in turn, each from 0 to 2
    only = coloured(picture, ColourSettings(brightness=1), draws(2)).flatten().tolist()
    assert only == pytest.approx([min(float(factors[0]) * one, 1.0) for one in (0.2, 0.4, 0.6)])
    flat = coloured(picture, ColourSettings(saturation=1), draws(2)).flatten()
    assert flat.tolist() == pytest.approx(
        [min(max(luma + (one - luma) * float(factors[2]), 0), 1) for one in (0.2, 0.4, 0.6)]
    )
    assert torch.equal(
        coloured(torch.full((1, 1, 2, 2), 0.5), ColourSettings(contrast=1, saturation=1), draws()),
        torch.full((1, 1, 2, 2), 0.5),
    )


def test_half_of_the_pictures_lose_a_rectangle_of_at_most_that_share() -> None:
    values = torch.rand(200, 2, 20, 30)
    found = erased(values, 0.2, draws())
    gone = (found != values).any(1)
    share = gone.float().mean((1, 2))
    assert 70 < int((share > 0).sum()) < 130
    assert float(share.max()) < 0.23  # sides are rounded
    for row in (share > 0).nonzero().flatten()[:20].tolist():
        ys, xs = gone[row].nonzero().T
        assert len(ys) == (ys.max() - ys.min() + 1) * (xs.max() - xs.min() + 1)
        inside = found[row][:, gone[row]]
        torch.testing.assert_close(inside, values[row].mean((1, 2)).unsqueeze(1).expand_as(inside))


def test_tokens_are_lost_one_by_one_and_rows_keep_their_lengths() -> None:
    words = Field(torch.arange(2, 2002), torch.tensor([True, True, False]), offsets=torch.tensor([0, 1500, 2000, 2000]))
    augment = Augmentation({"text": AugmentSettings(token_dropout=0.25)})
    found = augment(Batch({"text": words}), draws()).inputs["text"]
    assert torch.equal(found.offsets, words.offsets)
    lost = found.values == 0
    assert 0.2 < float(lost.float().mean()) < 0.3
    assert torch.equal(found.values[~lost], words.values[~lost])


def test_an_epoch_is_a_function_of_seed_and_number_and_knows_what_its_source_knows() -> None:
    augment = Augmentation({"photo": AugmentSettings(flip="both", crop=2)})
    source = [batch(pictures(4)), [batch(pictures(4))]]
    feed = augment.over(source, seed=1)
    assert len(feed) == 2

    def bits(epoch: int) -> list[Tensor]:
        return [
            (one[0] if isinstance(one, list) else one).inputs["photo"].values for one in augment.over(source, seed=1)(epoch)
        ]  # fmt: skip

    assert all(torch.equal(a, b) for a, b in zip(bits(2), bits(2), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(bits(2), bits(3), strict=True))
    assert isinstance(list(feed(0))[1], list)
    assert feed.of_size(9) is feed
    with pytest.raises(DataError, match="a Batch, or a list of them, got a dict"):
        list(augment.over([{}])(0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AugmentSettings(flip="horizontaly"), "unknown flip .* did you mean 'horizontal'"),
        (lambda: AugmentSettings(crop=-1), "crop .* whole number of pixels of at least 0, got -1"),
        (lambda: AugmentSettings(crop=0.1), "crop .* got 0.1"),
        (lambda: AugmentSettings(erase=20), "erase .* from 0 to 1, got 20"),
        (lambda: AugmentSettings(token_dropout=1.0), "token_dropout .* below 1, got 1.0"),
        (lambda: AffineSettings(rotate=-5), "affine.rotate .* from 0 to 180, got -5"),
        (lambda: AffineSettings(scale=math.inf), "affine.scale .* of at least 0, got inf"),
        (lambda: AffineSettings(fill="black"), "unknown affine.fill .* Known: zeros, border, reflection"),
        (lambda: ColourSettings(contrast=1.5), "colour.contrast .* from 0 to 1, got 1.5"),
        (lambda: Augmentation({"a": AugmentSettings(crop=1), "b": AugmentSettings(crop=1)}, [BOX]), "a and b are both moved, but task 'where' lies in one"),
        (lambda: Augmentation({"foto": AugmentSettings(crop=1)}).check({"photo": FieldSpec("image")}), "augment.foto: unknown input 'foto'; did you mean 'photo'"),
        (lambda: Augmentation({"x": AugmentSettings(crop=1)}).check({"x": FieldSpec("number")}), "augment.x: flip, crop, .* are for pictures, but .* 'number'"),
        (lambda: Augmentation({"x": AugmentSettings(token_dropout=0.1)}).check({"x": FieldSpec("image")}), "augment.x: token_dropout is for texts"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


def test_fields_that_are_no_pictures_and_no_tokens_are_refused() -> None:
    plain = Batch({"x": Field.dense(torch.zeros(2, 3))})
    with pytest.raises(DataError, match=r"input 'x': .* needs values \[B, C, H, W\], got \(2, 3\)"):
        Augmentation({"x": AugmentSettings(crop=1)})(plain, draws())
    with pytest.raises(DataError, match="input 'x': token_dropout needs ragged whole numbers"):
        Augmentation({"x": AugmentSettings(token_dropout=0.5)})(plain, draws())
    assert Augmentation({"y": AugmentSettings(crop=1)})(plain, draws()).inputs == plain.inputs  # of another source
