"""The SentencePiece unigram tokeniser of XLM-RoBERTa, straight from the encoder file.

The vocabulary stays on disk behind a hash index, because a library's own copy of a quarter of a
million pieces costs 60 MB of memory and more than a second at every start.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ModelCorruptError
from edge_runtime.nlu.e5file import E5File, Vocabulary

_SPACES: Final = re.compile(" {2,}")
_SPACE_MARK: Final = "\u2581"
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
    size = 1 << (2 * len(owners)).bit_length()
    table = [_EMPTY] * size
    for prefix, index in owners.items():
        slot = zlib.crc32(prefix) & (size - 1)
        while table[slot] != _EMPTY:
            slot = (slot + 1) & (size - 1)
        table[slot] = index
    return np.array(table, np.int32)


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
        self._unknown = float(np.asarray(self._vocabulary.scores).min()) - _UNKNOWN_PENALTY
        try:
            table = np.load(index, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ModelCorruptError(f"Tokeniser index {index} cannot be read.") from error
        size = len(table) if table.ndim == 1 else 0
        sound = table.dtype == np.int32 and size > 0 and size & (size - 1) == 0
        if not sound or table.max() >= self._vocabulary.count or table.min() < _EMPTY:
            raise ModelCorruptError(f"Tokeniser index {index} is of another vocabulary.")
        self._table = memoryview(table)
        self._mask = size - 1

    def normalize(self, text: str) -> str:
        """The text as the vocabulary knows it: mapped, single-spaced, spaces marked."""
        clean = text[:_MAX_CHARS].encode("utf-8", "replace").decode("utf-8")
        mapped = _SPACES.sub(" ", clean.translate(self._normalization))
        return (mapped if mapped.startswith(" ") else " " + mapped).replace(" ", _SPACE_MARK)

    def encode(self, text: str, limit: int) -> list[int]:
        """At most ``limit`` ids; a longer text loses its end, never ``</s>``."""
        vocabulary = self._vocabulary
        chars = [char.encode("utf-8") for char in self.normalize(text)]
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
        ids: list[int] = []
        at = len(chars)
        while at:
            at, piece = back[at]
            ids.append(piece)
        ids.reverse()
        return [vocabulary.bos, *ids[: limit - 2], vocabulary.eos]

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
