"""Small real users of every contract, written as a stranger would write them: two encoders, a tagging task, heads for each layout.

Fixtures hand out the classes themselves, since test folders import nothing from each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import polars as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.fields import Field, cell_weight
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import HeadSettings, InputSpec, Loss, Wants
from cotrain.core.stacked import Stage
from cotrain.losses.cross_entropy import cross_entropy


class AttentionStage(nn.Module):
    """Self-attention over the real steps, with a residual; of a kind that `core` cannot stack."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.mix, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, signal: Signal) -> Signal:
        rows, steps, width = signal.values.shape
        parts = self.mix(signal.values).reshape(rows, steps, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if signal.mask is None else signal.mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return signal.of(signal.values + self.out(mixed.transpose(1, 2).reshape(rows, steps, width)))


@dataclass(frozen=True, kw_only=True)
class FTTransformer:
    """Every feature a token, then attention and a token-wise layer in turn. Y. Gorishniy et al., NeurIPS 2021."""

    name: ClassVar[str] = "ft"
    width: int = 8
    blocks: int = 1

    def build(self, inputs: InputSpec, width: int | None = None) -> nn.Module:
        return FTEncoder(inputs, self, width or self.width)


class FTEncoder(nn.Module):
    """A missing number is a token that is not real; so is a row that lacks the whole input."""

    def __init__(self, inputs: InputSpec, settings: FTTransformer, width: int) -> None:
        super().__init__()
        self.inputs = list(inputs)
        count = sum(len(spec.names) for spec in inputs.values())
        self.weight, self.bias = nn.Parameter(torch.randn(count, width)), nn.Parameter(torch.randn(count, width))
        stages: list[nn.Module] = []
        for _ in range(settings.blocks):
            stages += [AttentionStage(width), Stage(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())]
        self.stages = nn.ModuleList(stages)
        self.shapes: Sequence[Shape] = [Shape("sequence", width)] * (len(stages) + 1)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        values = torch.cat([fields[name].values for name in self.inputs], 1)
        mask = torch.cat([fields[name].held().reshape(len(values), -1).expand(fields[name].values.shape)
                          for name in self.inputs], 1)  # fmt: skip
        return Signal(values.unsqueeze(-1) * self.weight + self.bias, "sequence", mask)


@dataclass(frozen=True, kw_only=True)
class ToyConv:
    """Strided convolutions over pictures [B, 3, H, W]; where `valid` is given, places that are not real are masked."""

    name: ClassVar[str] = "toy_conv"
    widths: Sequence[int] = (4, 6)

    def build(self, inputs: InputSpec, width: int | None = None) -> nn.Module:
        return ToyConvEncoder(next(iter(inputs)), self.widths, width or 3)


class ToyConvEncoder(nn.Module):
    def __init__(self, name: str, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.name, self.stem = name, nn.Conv2d(3, width, 1)
        shapes, stages = [Shape("map", width)], []
        for wide in widths:
            stages.append(
                Stage(nn.Conv2d(shapes[-1].width, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU())
            )
            shapes.append(Shape("map", wide, shapes[-1].stride * 2))
        self.stages, self.shapes = nn.ModuleList(stages), shapes

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        picture = fields[self.name]
        return Signal(self.stem(picture.values), "map", None if picture.valid is None else picture.valid[:, 0])


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Ragged token numbers as a sequence."""

    name: ClassVar[str] = "tokens"
    words: int = 20
    width: int = 8

    def build(self, inputs: InputSpec, width: int | None = None) -> nn.Module:
        return TokenEncoder(next(iter(inputs)), self, width or self.width)


class TokenEncoder(nn.Module):
    def __init__(self, name: str, settings: Tokens, width: int) -> None:
        super().__init__()
        self.name, self.table = name, nn.Embedding(settings.words, width)
        self.stages = nn.ModuleList([AttentionStage(width)])
        self.shapes: Sequence[Shape] = [Shape("sequence", width)] * 2

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        codes, mask = fields[self.name].padded()
        return Signal(self.table(codes), "sequence", mask)


@dataclass(frozen=True)
class TagCodec:
    """A column of lists of words, one a token, None where a token has no tag -> ragged class numbers, and back."""

    columns: tuple[str, ...]
    tags: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        return len(self.tags)

    def fit(self, frame: pl.DataFrame) -> TagCodec:
        return replace(self, tags=tuple(sorted({tag for row in frame[self.columns[0]] for tag in row if tag})))

    def encode(self, frame: pl.DataFrame) -> Field:
        rows = [list(row) for row in frame[self.columns[0]]]
        flat = [tag for row in rows for tag in row]
        values = torch.tensor([self.tags.index(tag) if tag in self.tags else 0 for tag in flat], dtype=torch.int64)
        valid = torch.tensor([tag in self.tags for tag in flat], dtype=torch.bool)
        lengths = torch.tensor([0, *(len(row) for row in rows)])
        present = torch.tensor([any(tag in self.tags for tag in row) for row in rows], dtype=torch.bool)
        return Field(values, present, lengths.cumsum(0), valid)

    def to_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "tags": list(self.tags)}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> TagCodec:
        return TagCodec(tuple(stored["columns"]), tuple(stored["tags"]))


@dataclass(frozen=True)
class TagMetrics:
    primary: str = "accuracy"

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        cells = cell_weight(target, weight)
        hit = (output.argmax(1) == target.values).float()
        return {"accuracy": float((hit * cells).sum() / cells.sum())}

    def higher_is_better(self, metric: str) -> bool:
        return True


@dataclass(frozen=True)
class Tagging:
    """One class a token: a task kind of a user's own, in one class."""

    kind: ClassVar[str] = "tagging"
    name: str
    _: KW_ONLY
    weight: float = 1.0
    source: str | None = None
    metrics: TagMetrics = TagMetrics()
    fitted: TagCodec | None = field(default=None, metadata={"setting": False})

    @property
    def codec(self) -> TagCodec:
        return self.fitted or TagCodec((self.name,))

    @property
    def outputs(self) -> int:
        return self.codec.outputs

    @property
    def head(self) -> HeadSettings:
        return TagHeadSettings()

    @property
    def loss(self) -> Loss:
        return cross_entropy

    def error(self, scores: dict[str, float]) -> float:
        return 1 - scores["accuracy"]

    def decode(self, output: Tensor) -> dict[str, Any]:
        return {self.name: [self.codec.tags[code] for code in output.argmax(1).tolist()]}

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        cells = cell_weight(target, weight).double()
        shares = torch.zeros(self.outputs, dtype=torch.float64).index_add_(0, target.filled(), cells)
        return (shares + 1e-9).log()

    def check(self, target: Field) -> None:
        pass

    def with_codec(self, codec: Any) -> Tagging:
        return replace(self, fitted=codec)

    def refitted(self, frame: Any) -> Tagging:
        return self.with_codec(self.codec.fit(frame))


@dataclass(frozen=True)
class TagHeadSettings:
    name: ClassVar[str] = "tag"

    def build(self, shapes: Sequence[Shape], outputs: int) -> nn.Module:
        return TagHead(shapes[-1].width, outputs)


class TagHead(nn.Module):
    """[B, S, D] -> [N, classes], a row for every real token, in order; keeps the target it was shown."""

    wants: Wants = "sequence"

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.shown = nn.Linear(width, outputs), None

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        self.shown = target  # type: ignore[assignment]
        last = signals[-1]
        out: Tensor = self.linear(last.values if last.mask is None else last.values[last.mask])
        return out.reshape(-1, out.shape[-1])

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self.forward(signals)


@pytest.fixture
def toys() -> SimpleNamespace:
    """The classes above, by name."""
    return SimpleNamespace(
        AttentionStage=AttentionStage, FTTransformer=FTTransformer, ToyConv=ToyConv, Tokens=Tokens,
        TagCodec=TagCodec, Tagging=Tagging, TagHead=TagHead, TagMetrics=TagMetrics,
    )  # fmt: skip
