"""Where something is in a picture: one box a row, judged by how far it overlaps with the true one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.heads.placed import Placed
from cotrain.losses.box_distance import box_l1, box_squared
from cotrain.losses.boxes import FAR, centre_of, corners_of, output_of, overlap, predicted
from cotrain.losses.ciou import ciou
from cotrain.losses.giou import giou
from cotrain.losses.l1_giou import L1GIoU
from cotrain.tasks.box_columns import BoxCodec, Degenerate, Form
from cotrain.tasks.checks import check_settings
from cotrain.tasks.fitted import Fitted
from cotrain.tasks.scores import higher_is_better

L1_GIOU = L1GIoU()
METRICS = ("mean_iou", "accuracy_iou50", "rmse")
MOST_ROWS = 4096
"""The best constant box of a loss without a closed form is sought over so many rows at most, evenly spread."""


@dataclass(frozen=True)
class BoxMetrics:
    """Scores of outputs [N, 4] against true corners [N, 4], of the predicted boxes cut to the picture.

    mean_iou: mean of intersection over union, 0 to 1. accuracy_iou50: share of boxes with an intersection over union of at least .5.
    rmse: root mean squared error of the four numbers in the columns' own form and units. All are NaN without a box.
    """

    codec: BoxCodec
    primary: str = "mean_iou"

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        cells = cell_weight(target, weight).double()
        cells = cells.reshape(len(cells), -1).amin(1) if len(cells) else cells.reshape(-1)
        keep = cells > 0
        if not bool(keep.any()):
            return dict.fromkeys(METRICS, math.nan)
        guess, truth, cells = in_picture(output[keep].detach().double()), target.values[keep].double(), cells[keep]
        share = cells / cells.sum()
        iou = overlap(guess, truth).iou
        apart = (self.codec.decoded(guess) - self.codec.decoded(truth)).square().mean(1)
        return {
            "mean_iou": float((share * iou).sum()),
            "accuracy_iou50": float((share * (iou >= 0.5)).sum()),
            "rmse": math.sqrt(float((share * apart).sum())),
        }

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


def in_picture(output: Tensor) -> Tensor:
    """[N, 4] the corners of the boxes that outputs [N, 4] stand for, cut to the picture."""
    return corners_of(predicted(output)).clamp(0, 1)


@dataclass(frozen=True)
class Box(Fitted[BoxCodec]):
    """Where the one thing of a row's picture is: a box of four columns, predicted as sigmoid(centre and size).

    columns: the four, in the order of `form`: corners (x0, y0, x1, y1 from the upper left), centre (cx, cy, w, h) or corner_size (x0, y0, w, h).
    size: width and height of the picture in the columns' units; [1, 1] if they are shares of it. degenerate: boxes without width or height or
    outside of the picture count as missing (and are counted in the report), or are refused. visible: share of a box that must stay in a picture that is
    moved by augmentation, else the row has no box then; in [0, 1], .25 being a choice of ours. loss: l1_giou (5 x L1 + 2 x GIoU as in detection
    transformers), l1, squared, giou or ciou. metric: mean_iou, accuracy_iou50 or rmse. The head the network gives is made to keep where things are
    (`pool: grid` over maps); a head of the task's own is taken as it is. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "box"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {
        "l1_giou": L1_GIOU,
        "l1": box_l1,
        "squared": box_squared,
        "giou": giou,
        "ciou": ciou,
    }

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    form: Form = "corners"
    size: Sequence[float] = (1.0, 1.0)
    degenerate: Degenerate = "missing"
    visible: float = 0.25
    weight: float = 1.0
    metric: str = "mean_iou"
    loss: Loss = L1_GIOU
    head: HeadSettings | None = None
    source: str | None = None
    fitted: BoxCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        columns = () if self.columns is None else tuple(self.columns)
        if isinstance(self.columns, str) or len(columns) != 4 or len(set(columns)) < 4:
            came = repr(self.columns) if isinstance(self.columns, str) else f"[{', '.join(map(str, columns))}]"
            raise ConfigError(
                f"task '{self.name}': a box needs four different columns, got {came}; write for example columns: [x0, y0, x1, y1]"
            )
        object.__setattr__(self, "columns", columns)
        check_settings(self, known=METRICS)
        for what, value, known in (("form", self.form, Form), ("degenerate", self.degenerate, Degenerate)):
            if value not in get_args(known):
                raise ConfigError(
                    f"task '{self.name}': {what} must be one of {', '.join(get_args(known))}, got {value!r}"
                )
        size = tuple(float(one) for one in self.size) if isinstance(self.size, Sequence) else ()
        if len(size) != 2 or not all(0 < one < math.inf for one in size):
            raise ConfigError(
                f"task '{self.name}': size must be the picture's width and height in the columns' units, got {list(size) or self.size!r}; "
                "write for example size: [640, 480], or leave it out for shares of 0 to 1"
            )
        object.__setattr__(self, "size", size)
        if not 0 <= self.visible <= 1:
            raise ConfigError(f"task '{self.name}': visible is a share from 0 to 1, got {self.visible}")

    def unfitted(self) -> BoxCodec:
        width, height = self.size
        return BoxCodec(self.name, tuple(self.columns or ()), self.form, (width, height), self.degenerate, self.visible)

    def headed(self, head: HeadSettings) -> HeadSettings:
        """The network's head, made to keep where things are."""
        return Placed(head)

    @property
    def metrics(self) -> BoxMetrics:
        return BoxMetrics(self.codec, self.metric)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name_COLUMN: number} in the columns' own form and units, for outputs [N, 4]; boxes are cut to the picture."""
        numbers = self.codec.decoded(in_picture(output.double())).cpu().numpy()
        return {f"{self.name}_{column}": numbers[:, place] for place, column in enumerate(self.codec.columns)}

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, 4] the outputs of the mean box over the members of an ensemble, from their outputs [M, N, 4]."""
        return output_of(predicted(outputs.flatten(0, 1)).reshape(outputs.shape).mean(0))

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[4] the output of the best constant box, with centre and size kept .0025 away from 0 and 1.

        l1: the weighted median of cx, cy, w and h; squared: their mean. The other losses have no closed form: the better of these two is moved
        downhill, over 4,096 rows at most. None for a loss of one's own.
        """
        if self.loss not in self.losses.values() and not isinstance(self.loss, L1GIoU):
            return None
        cells = cell_weight(target, weight).double()
        keep = cells > 0
        if not bool(keep.any()):
            return torch.zeros(4, dtype=torch.float64)
        truth, cells = target.values[keep].double(), cells[keep]
        middle, mean = best_distances(centre_of(truth), cells)
        if self.loss in (box_l1, box_squared):
            return output_of((middle if self.loss is box_l1 else mean).unsqueeze(0)).squeeze(0)
        step = -(-len(truth) // MOST_ROWS)
        return best_box(self.loss, truth[::step], cells[::step], torch.stack([middle, mean]))

    def check(self, target: Field) -> None:
        """Raises DataError unless every target is a box inside the picture, [N, 4] corners in shares, whole rows missing or not."""
        if target.values.dim() != 2 or target.values.shape[1] != 4 or target.valid is not None:
            raise DataError(
                f"task '{self.name}' is a box: targets [N, 4] of x0, y0, x1, y1 in shares of the picture are expected, missing by rows (present), "
                f"got {tuple(target.values.shape)}{'' if target.valid is None else ' with single valid cells'}"
            )
        boxes = target.values[target.present]
        wrong = ((boxes < 0) | (boxes > 1)).any(1) | (boxes[:, 2:] <= boxes[:, :2]).any(1)
        if bool(wrong.any()):
            row = [round(one, 4) for one in boxes[wrong][0].tolist()]
            raise DataError(
                f"task '{self.name}' is a box: x0 < x1 and y0 < y1 in shares from 0 to 1 are expected, got {row} ({int(wrong.sum())} such rows); "
                "divide by the picture's width and height, or let the task's codec encode the columns"
            )


def best_distances(centre: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """([4] weighted medians, [4] weighted means) of cx, cy, w, h [N, 4], weight [N] > 0.

    >>> middle, mean = best_distances(torch.tensor([[0.0] * 4, [0.25] * 4, [0.5] * 4, [0.75] * 4]), torch.tensor([1.0, 1.0, 1.0, 5.0]))
    >>> middle.tolist()[:1], round(float(mean[0]), 4)
    ([0.75], 0.5625)
    """
    share = (weight / weight.sum()).unsqueeze(1)
    order = centre.argsort(0)
    above = share.expand_as(centre).gather(0, order).cumsum(0) >= 0.5
    first = above.int().argmax(0, keepdim=True)
    return centre.gather(0, order).gather(0, first).squeeze(0), (share * centre).sum(0)


def best_box(loss: Loss, corners: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
    """[4] the constant output with the least loss over boxes [N, 4], found from the best of some starting boxes [S, 4] (cx, cy, w, h).

    Nelder and Mead's simplex, since the overlap has kinks.
    """
    from scipy.optimize import minimize

    target = Field.dense(corners)

    def mean(output: NDArray[np.float64]) -> float:
        total, count = loss(torch.from_numpy(output).expand(len(corners), 4), target, weight)
        return float(total / count)

    first = min(output_of(starts).numpy(), key=mean)
    found = minimize(mean, first, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000})
    return torch.from_numpy(found.x if found.fun < mean(first) else first).clamp(-FAR, FAR)
