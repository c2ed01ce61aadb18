"""Which pieces of the encoder's vocabulary a device keeps.

Most of multilingual-e5-small is its word table: a quarter of a million rows, few of which a shop's
customers ever touch. Kept are all single characters, so that any text can be written; every piece
that given texts use; and then the commonest pieces of each script, by the unigram model's scores.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from converters.errors import OptionError
from edge_runtime.nlu.e5file import E5File, Vocabulary
from edge_runtime.nlu.tokenizer import Tokenizer, piece_index

DEFAULT_PIECES: Final = 50_000
_MARK: Final = "\u2581"
_LIMIT: Final = 512
_COMMON: Final = "COMMON"
_NAMED: Final = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "KATAKANA-HIRAGANA": "KANA"}
_SHARES: Final[Mapping[str, float]] = {
    "LATIN": 0.58,
    "HAN": 0.18,
    "CYRILLIC": 0.12,
    "HANGUL": 0.04,
    "KANA": 0.04,
    _COMMON: 0.04,
}
"""Of the places that are left: the scripts of the languages that packs are written in."""


def choose_pieces(file: E5File, texts: Iterable[str], count: int = DEFAULT_PIECES) -> list[int]:
    """Ids of about ``count`` pieces to keep, ascending.

    Args:
        file: the whole encoder.
        texts: what customers say, in all languages wanted.
        count: how many to keep.

    Raises:
        OptionError: single characters and the texts' own pieces alone are more than ``count``.
    """
    vocabulary = file.vocabulary
    kept = {vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk}
    by_script: dict[str, list[int]] = defaultdict(list)
    for index in range(vocabulary.count):
        text = vocabulary.piece(index).decode("utf-8", "replace").replace(_MARK, "")
        if len(text) <= 1:
            kept.add(index)
        else:
            by_script[_script(text)].append(index)
    kept |= _used(file, texts)
    left = count - len(kept)
    if left < 0:
        raise OptionError(
            f"{count:,} pieces are too few: single characters and the texts need {len(kept):,}.",
            hint="Keep more pieces.",
        )
    for script, share in _SHARES.items():
        kept |= set(_commonest(vocabulary, by_script[script], kept, int(left * share)))
    return sorted(kept)


def _used(file: E5File, texts: Iterable[str]) -> set[int]:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "pieces.npy"
        np.save(path, piece_index(file.vocabulary))
        tokenizer = Tokenizer(file, path)
        used = set(tokenizer.encode("query: passage: ", _LIMIT))
        for text in dict.fromkeys(texts):
            used.update(tokenizer.encode(text, _LIMIT))
    return used


def _commonest(
    vocabulary: Vocabulary, pieces: list[int], kept: set[int], count: int
) -> Iterable[int]:
    rest = [index for index in pieces if index not in kept]
    return sorted(rest, key=lambda index: (-vocabulary.scores[index], index))[:count]


def _script(text: str) -> str:
    """The script of the first letter by the first word of its Unicode name."""
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "?").split()[0]
            return _NAMED.get(name, name)
    return _COMMON
