"""The SentencePiece unigram tokeniser of XLM-RoBERTa, straight from the encoder file.

The vocabulary stays on disk behind a hash index, because a library's own copy of a quarter of a
million pieces costs 60 MB of memory and more than a second at every start.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ModelCorruptError
from edge_runtime.nlu.e5file import E5File, Vocabulary

_SPACE_MARK: Final = "\u2581"
_WORD: Final = re.compile(f"{_SPACE_MARK}?[^{_SPACE_MARK}]*")
_REMEMBERED_WORDS: Final = 1024
_REMEMBERED_CHARS: Final = 24
"""What is said again and again is cut once; longer words, as sentences without spaces are, each
time."""
_EMPTY: Final = -1
_UNKNOWN_PENALTY: Final = 10.0
# Past this length a text cannot change what 512 tokens see, only how long cutting it takes.
_MAX_CHARS: Final = 8192


def piece_index(vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
    """Open-addressing hash table over every prefix of every piece that text may match.

    A slot holds the id of a piece that starts with the prefix (the piece itself where the prefix
    is one) or -1. The hash is the CRC-32 of the prefix's UTF-8, the next slot is tried on a clash;
    the length is a power of two.
    """
    specials = {vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk}
    owners: dict[bytes, int] = {}
    for index in range(vocabulary.count):
        piece = vocabulary.piece(index)
        # "<s>" typed by a customer is text, so control pieces are left out.
        if index in specials or piece == b"<mask>":
            continue
        text = piece.decode("utf-8", "replace")
        for end in range(1, len(text)):
            owners.setdefault(text[:end].encode("utf-8"), index)
        owners[piece] = index
    size = 1 << (len(owners) * 3 // 2).bit_length()
    table = [_EMPTY] * size
    for prefix, index in owners.items():
        slot = zlib.crc32(prefix) & (size - 1)
        while table[slot] != _EMPTY:
            slot = (slot + 1) & (size - 1)
        table[slot] = index
    return np.array(table, np.int32)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A tokenised text: ``ids`` with ``<s>`` and ``</s>``, and for each its [start, end).

    Positions are characters of the text as given; what stands for none of it (``<s>``, ``</s>``,
    the prefix) has an empty span.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class Tokenizer:
    """Text to piece ids, ``<s>`` and ``</s>`` included.

    Unigram language model, Viterbi decoding: Kudo, "Subword Regularization", ACL 2018.

    Args:
        file: the encoder file; its vocabulary and normalisation map are used in place.
        index: what :func:`piece_index` made of it, saved with ``numpy.save``.

    Raises:
        ModelCorruptError: the index cannot be read or belongs to another vocabulary.
    """

    def __init__(self, file: E5File, index: Path) -> None:
        self._vocabulary = file.vocabulary
        self._normalization = dict(file.normalization)
        try:
            table = np.load(index, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ModelCorruptError(f"Tokeniser index {index} cannot be read.") from error
        size = len(table) if table.ndim == 1 else 0
        sound = table.dtype == np.int32 and size > 0 and size & (size - 1) == 0
        # Without an empty slot the search for a missing prefix would never end.
        if not sound or table.max() >= self._vocabulary.count or table.min() != _EMPTY:
            raise ModelCorruptError(f"Tokeniser index {index} is of another vocabulary.")
        self._cut = _Cutter(self._vocabulary, memoryview(table)).cut
        self._cut_before = lru_cache(_REMEMBERED_WORDS)(self._cut)

    def normalize(self, text: str) -> str:
        """The text as the vocabulary knows it: mapped, single-spaced, spaces marked."""
        return self._normalized(text)[0]

    def encode(self, text: str, limit: int) -> list[int]:
        """At most ``limit`` ids; a longer text loses its end, never ``</s>``."""
        return self.pieces(text, limit).ids

    def pieces(self, text: str, limit: int, prefix: str = "") -> Pieces:
        """``prefix`` and ``text`` as one; spans are positions in ``text`` alone."""
        normalized, sources = self._normalized(prefix + text)
        ids, spans = [self._vocabulary.bos], [(0, 0)]
        for start, end, piece in self._segments(normalized)[: limit - 2]:
            first, last = sources[start] - len(prefix), sources[end - 1] + 1 - len(prefix)
            ids.append(piece)
            spans.append((max(0, first), last) if last > 0 else (0, 0))
        return Pieces([*ids, self._vocabulary.eos], [*spans, (0, 0)])

    def _normalized(self, text: str) -> tuple[str, list[int]]:
        """The normalised text, and for each of its characters where it came from in ``text``."""
        clean = text[:_MAX_CHARS].encode("utf-8", "replace").decode("utf-8")
        chars: list[str] = []
        sources: list[int] = []
        for index, char in enumerate(clean):
            for mapped in self._normalization.get(ord(char), char):
                if mapped != " " or chars[-1:] != [" "]:
                    chars.append(mapped)
                    sources.append(index)
        if chars[:1] != [" "]:
            chars.insert(0, " ")
            sources.insert(0, 0)
        return "".join(chars).replace(" ", _SPACE_MARK), sources

    def _segments(self, normalized: str) -> list[tuple[int, int, int]]:
        """The likeliest pieces of ``normalized``, each (start, end, id).

        No piece of this vocabulary reaches over the beginning of a word.
        """
        found: list[tuple[int, int, int]] = []
        for word in _WORD.finditer(normalized):
            cut = self._cut_before if len(word[0]) <= _REMEMBERED_CHARS else self._cut
            at = word.start()
            found += [(at + start, at + end, piece) for start, end, piece in cut(word[0])]
        return found


class _Cutter:
    """Cuts one word; knows nothing of who remembers what it found, so that nothing keeps it alive
    when its tokenizer goes."""

    def __init__(self, vocabulary: Vocabulary, table: memoryview[int]) -> None:
        self._vocabulary = vocabulary
        self._table = table
        self._mask = len(table) - 1
        self._unknown = float(np.asarray(vocabulary.scores).min()) - _UNKNOWN_PENALTY

    def cut(self, word: str) -> list[tuple[int, int, int]]:
        """The likeliest pieces of one word and its space mark."""
        vocabulary = self._vocabulary
        chars = [char.encode("utf-8") for char in word]
        best = [float("-inf")] * (len(chars) + 1)
        best[0] = 0.0
        back: list[tuple[int, int]] = [(0, vocabulary.unk)] * (len(chars) + 1)
        for start in range(len(chars)):
            reached = best[start]
            if reached + self._unknown > best[start + 1]:
                best[start + 1] = reached + self._unknown
                back[start + 1] = (start, vocabulary.unk)
            for end, piece in self._matches(chars, start):
                score = reached + vocabulary.scores[piece]
                if score > best[end]:
                    best[end] = score
                    back[end] = (start, piece)
        found: list[tuple[int, int, int]] = []
        end = len(chars)
        while end:
            start, piece = back[end]
            found.append((start, end, piece))
            end = start
        found.reverse()
        return found

    def _matches(self, chars: list[bytes], start: int) -> list[tuple[int, int]]:
        """Pieces that begin at ``start``, each with the position after its last character."""
        offsets, text, table, mask = (
            self._vocabulary.offsets,
            self._vocabulary.text,
            self._table,
            self._mask,
        )
        found: list[tuple[int, int]] = []
        prefix, crc = b"", 0
        for end in range(start, len(chars)):
            char = chars[end]
            prefix += char
            crc = zlib.crc32(char, crc)
            slot, size = crc & mask, len(prefix)
            piece: int = table[slot]
            while piece != _EMPTY and text[offsets[piece] : offsets[piece] + size] != prefix:
                slot = (slot + 1) & mask
                piece = table[slot]
            if piece == _EMPTY:
                break
            if offsets[piece + 1] - offsets[piece] == size:
                found.append((end + 1, piece))
        return found
