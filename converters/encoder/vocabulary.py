"""Which pieces of the encoder's vocabulary a device keeps.

Most of multilingual-e5-small is its word table: a quarter of a million rows, few of which a shop's
customers ever touch. Kept are the single characters of common scripts, so that any text in them can
be written; every piece that given texts use; the commonest pieces that no list of words has, such
as numbers; and then the pieces that the words of each language use most (word frequencies by Speer,
"wordfreq", 2022). Rows of the rarest may be stored coarser: a sentence cut into other pieces than
the encoder learnt loses more than one with a few blurred rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from converters.errors import OptionError
from converters.progress import Report, silent
from edge_runtime.nlu.e5file import E5File, Vocabulary
from edge_runtime.nlu.tokenizer import Tokenizer, piece_index

DEFAULT_PIECES: Final = 90_000
DEFAULT_FINE: Final = 34_000
"""How many of the pieces have rows of 4 bits; the others, the least used, have 2."""
_MARK: Final = "\u2581"
_LIMIT: Final = 512
_NUMBER: Final = re.compile("[0-9]")
_COMMON: Final = "COMMON"
_NAMED: Final = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "KATAKANA-HIRAGANA": "KANA"}
_ALL: Final = 1_000_000
_SINGLES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("LATIN", "CYRILLIC", "GREEK", "KANA", "BOPOMOFO"), _ALL),
    **dict.fromkeys(("ARABIC", "HEBREW", "THAI", "DEVANAGARI"), _ALL),
    "HAN": 6000,
    "HANGUL": 1700,
    _COMMON: 1200,
}
"""How many single characters of a script to keep, the commonest first."""
_NUMBERS: Final = "NUMBERS"
_LONGER: Final[Mapping[str, int]] = {"HAN": 6000, "KANA": 2000, _NUMBERS: 2500}
"""How many longer pieces of a script to keep, the commonest first: prices and times, phrases across
words, and words in traditional characters, which are in no list."""
_LANGUAGES: Final[Mapping[str, float]] = {
    "en": 3.0,
    "zh": 2.0,
    "es": 1.5,
    "de": 3.0,
    **dict.fromkeys(("fr", "it", "pt", "ja", "ko", "ru"), 1.0),
    **dict.fromkeys(("nl", "pl", "tr", "id", "ar", "hi", "vi"), 0.3),
}
"""What a language's words count: those that packs are written in more than others, and German,
whose compounds take more pieces."""
_CAPITALIZED: Final = 0.2
_CAPITALIZED_NOUNS: Final[Mapping[str, float]] = {"de": 0.5}
"""Share of a language's words that begin with a capital letter: names and first words, and where
that is so, all nouns. The word lists are in small letters."""
_ALL_CAPITALS: Final = 0.02
_SHORT: Final = 4
"""Share of short words written in capitals, as abbreviations are, and how long they may be."""
_UNSPACED: Final = {"zh", "ja"}
_AFTER_SPACE: Final = 0.2
"""Share of the words of a language without spaces that something separates from what is before."""
_WORDS: Final = 40_000


def choose_pieces(
    file: E5File, texts: Iterable[str], count: int = DEFAULT_PIECES, *, progress: Report = silent
) -> list[int]:
    """Ids of at most ``count`` pieces to keep: first what the texts use, then by how much the
    words of all languages use them.

    Args:
        file: the whole encoder.
        texts: what customers say, in all languages wanted.
        count: how many to keep.
        progress: told how far it is.

    Raises:
        OptionError: single characters and the texts' own pieces alone are more than ``count``.
    """
    vocabulary = file.vocabulary
    specials = [vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk]
    common = _common(vocabulary)
    with TemporaryDirectory() as scratch:
        tokenizer = _tokenizer(file, Path(scratch))
        first = dict.fromkeys([*specials, *sorted(_used(tokenizer, texts))])
        needed = first.keys() | set(common)
        if len(needed) > count:
            raise OptionError(
                f"{count:,} pieces are too few: common characters and the texts need "
                f"{len(needed):,}.",
                hint="Keep more pieces.",
            )
        ranked = _by_words(tokenizer, vocabulary, progress)
    extra = [index for index in ranked if index not in needed]
    kept = needed | set(extra[: count - len(needed)])
    return list(first | dict.fromkeys(i for i in [*ranked, *common] if i in kept))


def _tokenizer(file: E5File, scratch: Path) -> Tokenizer:
    path = scratch / "pieces.npy"
    np.save(path, piece_index(file.vocabulary))
    return Tokenizer(file, path)


def _used(tokenizer: Tokenizer, texts: Iterable[str]) -> set[int]:
    used = set(tokenizer.encode("query: passage: ", _LIMIT))
    for text in dict.fromkeys(texts):
        used.update(tokenizer.encode(text, _LIMIT))
    return used


def _by_words(tokenizer: Tokenizer, vocabulary: Vocabulary, progress: Report) -> list[int]:
    """Pieces by how often the words of all languages use them, the most used first."""
    from wordfreq import get_frequency_dict

    inner = _without_mark(vocabulary)
    uses: dict[int, float] = defaultdict(float)
    for number, (language, weight) in enumerate(_LANGUAGES.items()):
        progress("counting the pieces of words", number / len(_LANGUAGES))
        frequencies = get_frequency_dict(language)
        for word in sorted(frequencies, key=lambda w: (-frequencies[w], w))[:_WORDS]:
            for form, share in _forms(word, language).items():
                for index in tokenizer.encode(form, _LIMIT):
                    used = weight * share * frequencies[word]
                    if language in _UNSPACED and index in inner:
                        uses[inner[index]] += (1 - _AFTER_SPACE) * used
                        used *= _AFTER_SPACE
                    uses[index] += used
    return sorted(uses, key=lambda index: (-uses[index], index))


def _forms(word: str, language: str) -> Mapping[str, float]:
    """The ways ``word`` is written, and the share of each."""
    first = _CAPITALIZED_NOUNS.get(language, _CAPITALIZED)
    shares: dict[str, float] = defaultdict(float)
    shares[word.capitalize()] += first
    if len(word) <= _SHORT:
        shares[word.upper()] += _ALL_CAPITALS
    shares[word] += 1 - sum(shares.values())
    return shares


def _without_mark(vocabulary: Vocabulary) -> Mapping[int, int]:
    """For each piece that begins a word, the one with the same characters inside a text."""
    places = {
        vocabulary.piece(index).decode("utf-8", "replace"): index
        for index in range(vocabulary.count)
    }
    return {
        index: places[piece[1:]]
        for piece, index in places.items()
        if piece.startswith(_MARK) and piece[1:] in places
    }


def _common(vocabulary: Vocabulary) -> list[int]:
    """Pieces to keep whatever texts and words use: single characters, and some longer."""
    singles: dict[str, list[int]] = defaultdict(list)
    longer: dict[str, list[int]] = defaultdict(list)
    for index in range(vocabulary.count):
        text = vocabulary.piece(index).decode("utf-8", "replace").replace(_MARK, "")
        script = _script(text)
        if len(text) <= 1:
            singles[script].append(index)
        elif script != _COMMON:
            longer[script].append(index)
        elif _NUMBER.search(text):
            longer[_NUMBERS].append(index)
    return [
        index
        for pieces, most in ((singles, _SINGLES), (longer, _LONGER))
        for script, count in most.items()
        for index in _commonest(vocabulary, pieces[script], count)
    ]


def _commonest(vocabulary: Vocabulary, pieces: list[int], count: int) -> list[int]:
    return sorted(pieces, key=lambda index: (-vocabulary.scores[index], index))[:count]


def _script(text: str) -> str:
    """The script of the first letter by the first word of its Unicode name."""
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "?").split()[0]
            return _NAMED.get(name, name)
    return _COMMON
