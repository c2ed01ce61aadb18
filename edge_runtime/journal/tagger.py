"""A small trained reader of names and addresses that no word introduces.

Each token gets a label (ordinary, name, address) by what it looks like, its neighbours and the
label before it: a linear-chain model whose weights are small integers in one hashed table
(structured perceptron, Collins 2002; the best chain by Viterbi). It reads alphabets; Chinese is
read by rules. ``edge-convert train-redaction`` makes the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

LABELS = ("ordinary", "name", "address")
BUCKETS = 2**17
TABLE = Path(__file__).parent / "data" / "tagger.npz"
MASK = r"\[[A-Z]{2,8}:[0-9a-f]{8,16}\]"
"""How redaction writes what it masked."""
TOKEN = re.compile(
    rf"{MASK}"
    r"|(?<![^\W_])[A-Za-z]{1,4}-?\d{4,}[A-Za-z0-9-]*"
    r"|[^\W\d_]+(?:['’.-](?!s\b)[^\W\d_]+)*|\d+[A-Za-z]{0,2}(?![A-Za-z])|\d+|\n|[^\w\s]|_+"
)
# A longer word is no word; what is left out of it cannot slow the search down.
_WORD_CHARS = 24
_IDEOGRAPH = "\u2e80"
_ENDS = frozenset(".!?\n:;")
_EDGE = ("", "", "")


@dataclass(frozen=True, slots=True)
class Tagged:
    """A run of tokens of one label at [start, end) of the text."""

    start: int
    end: int
    label: str


class Tagger:
    """Labels tokens by a table of weights.

    Args:
        weights: per label and bucket, shape (labels, :data:`BUCKETS`).
        steps: what it adds to go from one label to the next, shape (labels, labels).
        caution: what a token must weigh more for than for ordinary, in units of ``weights``.
    """

    def __init__(
        self, weights: NDArray[np.int8], steps: NDArray[np.float32], caution: float
    ) -> None:
        # Bucket by bucket, so that a token's rows lie together in memory.
        self._weights = np.ascontiguousarray(weights.T)
        self._steps = steps
        self._caution = caution

    @classmethod
    def load(cls, path: Path) -> Tagger:
        """Read a table that :func:`save` wrote.

        Raises:
            OSError, ValueError, KeyError: it cannot be read or is no such table.
        """
        with np.load(path, allow_pickle=False) as table:
            weights, steps = table["weights"], table["steps"]
            if weights.shape != (len(LABELS), BUCKETS) or weights.dtype != np.int8:
                raise ValueError(f"{path} is no table of {len(LABELS)} labels")
            return cls(weights, steps, float(table["caution"]))

    def find(self, text: str) -> Iterator[Tagged]:
        """The names and addresses of ``text``, in order. Time is linear in its length."""
        found = list(TOKEN.finditer(text))
        if not found:
            return
        labels = self.labels([match[0] for match in found])
        first = 0
        for at in range(1, len(found) + 1):
            if at == len(found) or labels[at] != labels[first]:
                if labels[first]:
                    yield Tagged(found[first].start(), found[at - 1].end(), LABELS[labels[first]])
                first = at

    def labels(self, tokens: Sequence[str]) -> list[int]:
        """The best chain of labels, as indices into :data:`LABELS`."""
        per_token = list(rows(tokens))
        starts = np.cumsum([0, *(len(row) for row in per_token[:-1])])
        picked = self._weights[np.fromiter(chain.from_iterable(per_token), np.intp)]
        weighed = np.add.reduceat(picked, starts, axis=0, dtype=np.float32)
        weighed[:, 0] += self._caution
        for at, token in enumerate(tokens):
            if _is_never_tagged(token):
                weighed[at, 1:] = -np.inf
        return best_chain(weighed, self._steps)


def save(path: Path, weights: NDArray[np.int8], steps: NDArray[np.float32], caution: float) -> None:
    """Write a table; the same weights give the same bytes."""
    with path.open("wb") as file:
        np.savez_compressed(
            file, weights=weights, steps=steps, caution=np.array(caution, np.float32)
        )


@cache
def shipped() -> Tagger:
    """The table that comes with the runtime."""
    return Tagger.load(TABLE)


def best_chain(scores: NDArray[np.float32], steps: NDArray[np.float32]) -> list[int]:
    """Viterbi: the labels whose scores and steps add up to the most."""
    before: list[list[int]] = []
    rows_of, steps_of = scores.tolist(), steps.tolist()
    total = rows_of[0]
    labels = range(len(total))
    for row in rows_of[1:]:
        came = [_best(total, steps_of, to) for to in labels]
        total = [total[last] + steps_of[last][to] + row[to] for to, last in enumerate(came)]
        before.append(came)
    label = max(labels, key=total.__getitem__)
    labelled = [label]
    for came in reversed(before):
        label = came[label]
        labelled.append(label)
    return labelled[::-1]


def _best(total: list[float], steps: list[list[float]], to: int) -> int:
    return max(range(len(total)), key=lambda last: total[last] + steps[last][to])


def rows(tokens: Sequence[str]) -> Iterator[list[int]]:
    """For each token the buckets of its features."""
    seen = [_seen(token) for token in tokens]
    some_capital = any(shape in {"Xx", "X"} for _, shape, _ in seen)
    first = True
    for at, (word, shape, own) in enumerate(seen):
        one = seen[at - 1] if at else _EDGE
        two = seen[at - 2] if at > 1 else _EDGE
        after = seen[at + 1] if at + 1 < len(seen) else _EDGE
        later = seen[at + 2] if at + 2 < len(seen) else _EDGE
        around = (
            f"f{first}{shape}{some_capital}", f"a{one[0]}|{shape}", f"b{two[0]}|{one[0]}",
            f"c{after[0]}|{shape}", f"d{after[0]}|{later[0]}", f"e{one[1]}|{shape}|{after[1]}",
            f"g{two[1]}|{one[1]}|{shape}", f"h{shape}|{after[1]}|{later[1]}",
            f"i{one[0][-3:]}|{shape}", f"j{after[0][-3:]}|{shape}", f"k{one[0]}|{after[0]}",
            f"l{two[0]}|{shape}", f"m{later[0]}|{shape}", f"n{word}|{shape}|{first}",
        )  # fmt: skip
        yield [*own, *(_bucket(feature) for feature in around)]
        first = word in _ENDS or (first and not word[:1].isalnum())


def _seen(token: str) -> tuple[str, str, list[int]]:
    """The word in small letters, its shape, and the buckets of what it alone looks like."""
    word, shape = token[:_WORD_CHARS].lower(), _shape(token)
    if shape in {"Xx", "X", "x", "xX"}:
        edged = f"^{word}$"
        features = [f"w{word}", f"W{word}{shape}", f"s{shape}"]
        features += [f"p{word[:size]}" for size in (2, 3, 4)]
        features += [f"z{word[-size:]}{shape}" for size in (2, 3, 4, 5)]
        features += [f"t{edged[at : at + 3]}" for at in range(len(edged) - 2)]
        features += [f"q{edged[at : at + 4]}" for at in range(len(edged) - 3)]
    else:
        features = [f"s{shape}", f"w{word}" if len(word) < 3 else f"s{shape}{word[:1]}"]
    return word, shape, [_bucket(feature) for feature in features]


def _shape(token: str) -> str:
    head = token[0]
    if head.isdigit():
        return f"9{min(len(token), 7)}{'a' if token[-1].isalpha() else ''}"
    if not head.isalpha():
        return "mask" if len(token) > 2 and head == "[" else head
    if head >= _IDEOGRAPH:
        return "han"
    return "code" if any(char.isdigit() for char in token) else _case(token)


def _case(word: str) -> str:
    if word.islower():
        return "x"
    if word[0].isupper() and word[1:].islower():
        return "Xx"
    return "X" if word.isupper() else "xX"


def _is_never_tagged(token: str) -> bool:
    return token[0] >= _IDEOGRAPH or _shape(token) in {"mask", "code"}


def _bucket(feature: str) -> int:
    return crc32(feature.encode("utf-8", "replace")) % BUCKETS
