"""A pretrained language model as an encoder, on tiny random models saved to a folder: nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from cotrain.core.errors import ConfigError, MissingExtraError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import stack
from cotrain.encoders.pretrained_text import PretrainedText
from cotrain.recipe.run import fit

transformers = pytest.importorskip("transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "food", "wine", "the", "was"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny random model of a kind, with a tokenizer of a few words, saved to a folder."""
    root = tmp_path_factory.mktemp("models")
    small = {
        "vocab_size": len(WORDS),
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }

    def make(kind: str) -> Path:
        folder = root / kind
        if folder.exists():
            return folder
        torch.manual_seed(0)
        if kind == "bert":
            config = transformers.BertConfig(**small, max_position_embeddings=12)
        elif kind == "distilbert":
            config = transformers.DistilBertConfig(vocab_size=len(WORDS), dim=8, n_layers=2, n_heads=2, hidden_dim=16, max_position_embeddings=12)  # fmt: skip
        else:
            config = transformers.AlbertConfig(**small, embedding_size=4, max_position_embeddings=12)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        (root / "vocab.txt").write_text("\n".join(WORDS))
        transformers.BertTokenizerFast(vocab=str(root / "vocab.txt")).save_pretrained(folder)
        return folder

    return make


def text(lines: list[list[int]]) -> Field:
    lengths = torch.tensor([len(line) for line in lines])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return Field(
        torch.tensor([code for line in lines for code in line]), torch.ones(len(lines), dtype=torch.bool), offsets
    )


def spec(folder: Path) -> dict[str, FieldSpec]:
    return {"note": FieldSpec("tokens", ("note",), (len(WORDS) + 2,), vocabulary=str(folder))}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "albert"])
def test_it_gives_what_the_model_itself_gives(kind: str, saved: Callable[[str], Path]) -> None:
    folder = saved(kind)
    encoder: Any = PretrainedText(model=str(folder)).build(spec(folder)).eval()
    assert len(encoder.stages) == (0 if kind == "albert" else 2)  # ALBERT's layers are one layer again and again
    fields = {"note": text([[4, 7, 9, 5], [4, 0, 5], []])}
    signals = [encoder.embed(fields)]
    for stage in encoder.stages:
        signals.append(stage(signals[-1]))
    assert [Shape.of(one) for one in signals] == list(encoder.shapes)
    theirs = transformers.AutoModel.from_pretrained(str(folder)).eval()
    own = torch.tensor([[2, 5, 7, 3], [2, WORDS.index("[UNK]"), 3, 0]])
    with torch.no_grad():
        expected = theirs(own, attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))[0]
    mask = signals[-1].mask
    torch.testing.assert_close(signals[-1].values[mask], expected[mask[:2]], rtol=1e-4, atol=1e-5)
    assert signals[-1].values.isfinite().all()
    assert not any("pooler" in name for name, _ in encoder.named_parameters())


def test_where_sources_meet_the_whole_model_is_one_embedding(saved: Callable[[str], Path]) -> None:
    folder = saved("bert")
    encoder: Any = PretrainedText(model=str(folder)).build(spec(folder), width=5)
    assert len(encoder.stages) == 0
    assert encoder.embed({"note": text([[4, 7, 5]])}).values.shape == (1, 3, 5)


def test_copies_of_layers_keep_what_they_know(saved: Callable[[str], Path]) -> None:
    folder = saved("bert")
    encoder: Any = PretrainedText(model=str(folder)).build(spec(folder)).eval()
    signal = encoder.embed({"note": text([[4, 7, 5], [4, 5]])})
    many = stack(encoder.stages[0], 2, alike=True).eval()
    out = many(Signal(signal.values.expand(2, *signal.values.shape), "sequence", signal.mask))
    for copy in range(2):
        torch.testing.assert_close(out.values[copy], encoder.stages[0](signal).values)


def test_it_is_trained_from_a_table_with_its_own_tokenizer_and_comes_back(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = saved("bert")
    texts = ["the food was good", "the wine was bad", "good wine", "bad food"] * 15
    frame = pl.DataFrame({"note": texts, "y": ["good" in one for one in texts], "n": [len(one) for one in texts]})
    run = fit(
        frame, tasks={"y": "binary", "n": "regression"}, encoder={"name": "pretrained_text", "model": str(folder)},
        sharing={"name": "lora", "rank": 2, "freeze": True}, prepare={"kinds": {"note": "text"}},
        train={"epochs": 2, "batch_size": 16, "device": "cpu"},
    )  # fmt: skip
    import cotrain

    again = cotrain.load(run.save(tmp_path / "run"))
    assert again.predict(frame.head(3)).equals(run.predict(frame.head(3)))
    frozen = [name for name, one in run.model.named_parameters() if not one.requires_grad]
    assert any("attention" in name for name in frozen)


def test_what_cannot_be_is_answered(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved("bert")
    other = {"note": FieldSpec("tokens", ("note",), (13,), vocabulary="words")}
    with pytest.raises(ConfigError, match="taken apart by another tokenizer"):
        PretrainedText(model=str(folder)).build(other)
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"pretrained_text.model: no model can be had"):
        PretrainedText(model=nowhere).build(spec(Path(nowhere)))
    encoder: Any = PretrainedText(model=str(folder)).build(spec(folder))
    with pytest.raises(ConfigError, match=r"set data.text.length to 12 or less"):
        encoder.embed({"note": text([[4] * 13])})
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cotrain\[text\]'"):
        PretrainedText(model=str(folder)).build(spec(folder))
