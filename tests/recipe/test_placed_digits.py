"""Digits on a canvas: boxes are tight around the ink, sizes and places are drawn, and the seed decides all."""

from __future__ import annotations

import torch

from cotrain.recipe.placed_digits import place


def ink(rows: int = 40) -> torch.Tensor:
    """A bright frame of 5 x 3, off the middle of 8 x 8."""
    picture = torch.zeros(rows, 8, 8)
    picture[:, 1:6, 3:6] = 1.0
    return picture


def test_boxes_are_tight_around_the_ink() -> None:
    placed = place(ink(), canvas=24, heights=(5, 20), noise=0.0)
    for picture, box in zip(placed.pictures, placed.boxes.tolist(), strict=True):
        ys, xs = picture.nonzero().T
        assert [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1] == box
    tall = placed.boxes[:, 3] - placed.boxes[:, 1]
    wide = placed.boxes[:, 2] - placed.boxes[:, 0]
    assert 5 <= int(tall.min()) < 8
    assert 17 < int(tall.max()) <= 20
    assert bool(((wide - tall * 3 / 5).abs() <= 0.5).all())
    assert placed.boxes[:, 0].unique().numel() > 5


def test_the_seed_decides_all_and_noise_lies_under_the_ink() -> None:
    one, again, other = (place(ink(), canvas=24, heights=(5, 9), noise=0.1, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.pictures, again.pictures)
    assert not torch.equal(one.boxes, other.boxes)
    for picture, (x0, y0, x1, y1) in zip(one.pictures, one.boxes.tolist(), strict=True):
        assert bool((picture[y0:y1, x0:x1] == 255).all())
        assert float((picture > 0).float().mean()) > 0.9


def test_what_would_be_too_wide_is_made_as_wide_as_the_canvas_and_no_ink_is_a_picture_of_its_own() -> None:
    flat = torch.zeros(2, 8, 8)
    flat[0, 3:5] = 1.0
    placed = place(flat, canvas=12, heights=(6, 6), noise=0.0)
    assert placed.boxes[0, 2] - placed.boxes[0, 0] == 12
    assert placed.boxes[0, 3] - placed.boxes[0, 1] == 3
    assert (placed.boxes[1, 2:] - placed.boxes[1, :2]).tolist() == [6, 6]
