"""Tokenizers as JSON text: trained on texts with the `tokenizers` library, or taken from a pretrained model.

    word        runs of letters between blanks, each punctuation mark by itself
    bpe         pieces of words: byte pairs merged in the order of their frequency, so that no text has an unknown piece
    character   single letters, for languages without blanks

Code 0 is an unknown token and code 1 stands for nothing: no text gives it. Pretrained codes are the model's own plus 2.

Source: R. Sennrich, B. Haddow, A. Birch, Neural Machine Translation of Rare Words with Subword Units, ACL 2016, section 3.2 (byte pairs);
on bytes in place of letters: A. Radford et al., Language Models are Unsupervised Multitask Learners, 2019, section 2.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

from cotrain.core.errors import ConfigError, MissingExtraError

Trained = Literal["word", "bpe", "character"]
RESERVED = 2
"""Codes that are no token of the vocabulary: 0 unknown, 1 nothing."""

_MARKS = ["[UNK]", "[PAD]"]
_PIECE = 4096


def trained(
    texts: Sequence[str], how: Trained, *, vocabulary: int = 20_000, min_count: int = 2, lower: bool = True
) -> str:
    """A tokenizer trained on these texts, as JSON; the same texts give the same tokenizer.

    vocabulary: codes at most, the two reserved ones included (of bpe at least the 256 bytes stay). min_count: how often a token must be
    met. lower: in small letters.
    """
    library = _library("tokenizers")
    plan = {
        "vocab_size": vocabulary, "min_frequency": min_count, "special_tokens": _MARKS, "show_progress": False,
    }  # fmt: skip
    cut = library.pre_tokenizers
    if how == "bpe":
        made = library.Tokenizer(library.models.BPE(unk_token=_MARKS[0]))
        made.pre_tokenizer = cut.ByteLevel(add_prefix_space=True)
        trainer = library.trainers.BpeTrainer(initial_alphabet=sorted(cut.ByteLevel.alphabet()), **plan)
    else:
        made = library.Tokenizer(library.models.WordLevel(unk_token=_MARKS[0]))
        words = [cut.WhitespaceSplit(), cut.Punctuation("isolated")]
        letters = [cut.Split(library.Regex(r"[\s\S]"), "isolated")]
        made.pre_tokenizer = cut.Sequence(words if how == "word" else letters)
        trainer = library.trainers.WordLevelTrainer(**plan)
    norms = [library.normalizers.NFC(), *([library.normalizers.Lowercase()] if lower else [])]
    made.normalizer = library.normalizers.Sequence(norms)
    made.train_from_iterator(_pieces(texts), trainer)
    parts = json.loads(made.to_str())
    parts["added_tokens"] = []  # a text in which a mark is written out is a text like any other
    return json.dumps(parts, ensure_ascii=False)


def pretrained(name: str) -> tuple[str, int | None]:
    """(the tokenizer of a pretrained model as JSON, the model's code of an unknown token): from a folder, or by its name on the hub.

    Raises ConfigError where there is none, or it has no fast form.
    """
    library = _library("transformers")
    try:
        found = library.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"data.text.pretrained: no tokenizer can be had from '{name}' ({_first_line(error)}); give the folder of a saved "
            "tokenizer, or its name on the hub"
        ) from error
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"data.text.pretrained: the tokenizer of '{name}' has no fast form (tokenizer.json); choose a model that has one"
        )
    return str(backend.to_str()), found.unk_token_id


@lru_cache(maxsize=16)
def opened(text: str, length: int) -> Any:
    """The tokenizer that JSON holds, cutting texts off after so many tokens; kept, since many columns may share one."""
    tokenizer = _library("tokenizers").Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def size_of(text: str) -> int:
    """How many codes a tokenizer knows, those of its own marks included."""
    return int(opened(text, 1).get_vocab_size(with_added_tokens=True))


def _pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _PIECE):
        yield texts[start : start + _PIECE]


def _library(name: Literal["tokenizers", "transformers"]) -> Any:
    try:
        if name == "tokenizers":
            import tokenizers

            return tokenizers
        import transformers

        return transformers
    except ImportError as error:
        raise MissingExtraError(
            "texts as tokens" if name == "tokenizers" else "a pretrained tokenizer", "text"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
