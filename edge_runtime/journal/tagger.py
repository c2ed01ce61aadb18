"""A small trained reader of names and addresses that no word introduces.

Each token gets a label (ordinary, name, address) by what it looks like, its neighbours and the
label before it: a linear-chain model whose weights are small integers in one hashed table
(structured perceptron, Collins 2002; the best chain by Viterbi). It reads words of alphabets and
single Chinese characters. ``edge-convert train-redaction`` makes the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from edge_runtime.journal import han

LABELS = ("ordinary", "name", "address")
BUCKETS = 2**18
TABLE = Path(__file__).parent / "data" / "tagger.npz"
MASK = r"\[[A-Z]{2,8}:[0-9a-f]{8,16}\]"
"""How redaction writes what it masked."""
TOKEN = re.compile(
    rf"{MASK}"
    r"|(?<![^\W_一-鿿])[A-Za-z]{1,4}-?\d{4,}[A-Za-z0-9-]*"
    r"|[一-鿿]"
    r"|[^\W\d_一-鿿]+(?:['’.-](?!s\b)[^\W\d_一-鿿]+)*"
    r"|\d+[A-Za-z]{0,2}(?![A-Za-z])|\d+|\n|[^\w\s]|_+"
)
# A longer word is no word; what is left out of it cannot slow the search down.
_WORD_CHARS = 24
_IDEOGRAPH = "\u2e80"
_ENDS = frozenset(".!?\n:;。！？：；")
_KNOWN = 2_048
"""Tokens and places whose weights are remembered: most words of a turn were said before, and a
second reading meets most tokens in the place of the first."""


class Caution(NamedTuple):
    """What a token must weigh more for than for ordinary, in units of the weights.

    To be a name: a word in small letters, a Chinese character, any other token. To be in an
    address: a number, any other token.
    """

    small_name: float
    character_name: float
    other_name: float
    number_address: float
    other_address: float


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
        caution: how sure it must be.
    """

    def __init__(
        self, weights: NDArray[np.int8], steps: NDArray[np.float32], caution: Caution
    ) -> None:
        # Bucket by bucket, so that a token's rows lie together in memory.
        self._weights = np.ascontiguousarray(weights.T)
        self._steps = steps.tolist()
        self._margin = (caution.other_name, caution.other_address)
        self._margins = {
            "x": (caution.small_name, caution.other_address),
            "9": (caution.other_name, caution.number_address),
            "h": (caution.character_name, caution.other_address),
        }
        self._known: dict[Place, list[float]] = {}

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
            return cls(weights, steps, Caution(*table["caution"].tolist()))

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
        stand = places(tokens)
        known = self._known
        new = [place for place in dict.fromkeys(stand) if place not in known]
        if len(known) + len(new) > _KNOWN:
            new = list(dict.fromkeys(stand))
            known = self._known = {}
        if new:
            known.update(zip(new, self._weighed(new), strict=True))
        return best_chain([known[place] for place in stand], self._steps)

    def _weighed(self, stand: Sequence[Place]) -> list[list[float]]:
        per_token = [rows(place) for place in stand]
        starts = np.cumsum([0, *(len(row) for row in per_token[:-1])])
        picked = self._weights[np.fromiter(chain.from_iterable(per_token), np.intp)]
        weighed = np.add.reduceat(picked, starts, axis=0, dtype=np.float32)
        for at, place in enumerate(stand):
            here = seen(place.here)
            weighed[at, 1:] -= self._margins.get(here.shape[:1], self._margin)
            if here.is_ordinary:
                weighed[at, 1:] = -np.inf
        weights: list[list[float]] = weighed.tolist()
        return weights


def save(
    path: Path,
    weights: NDArray[np.int8],
    steps: NDArray[np.float32],
    caution: Caution,
) -> None:
    """Write a table; the same weights give the same bytes."""
    with path.open("wb") as file:
        np.savez_compressed(
            file, weights=weights, steps=steps, caution=np.array(caution, np.float32)
        )


@cache
def shipped() -> Tagger:
    """The table that comes with the runtime."""
    return Tagger.load(TABLE)


def best_chain(scores: Sequence[Sequence[float]], steps: Sequence[Sequence[float]]) -> list[int]:
    """Viterbi: the labels whose scores and steps add up to the most."""
    before: list[list[int]] = []
    total = list(scores[0])
    labels = range(len(total))
    for row in scores[1:]:
        came = [_best(total, steps, to) for to in labels]
        total = [total[last] + steps[last][to] + row[to] for to, last in enumerate(came)]
        before.append(came)
    label = max(labels, key=total.__getitem__)
    labelled = [label]
    for came in reversed(before):
        label = came[label]
        labelled.append(label)
    return labelled[::-1]


def _best(total: Sequence[float], steps: Sequence[Sequence[float]], to: int) -> int:
    return max(range(len(total)), key=lambda last: total[last] + steps[last][to])


class Place(NamedTuple):
    """A token with what its weights depend on: two tokens on each side, and its sentence."""

    two: str
    one: str
    here: str
    after: str
    later: str
    first: bool
    some_capital: bool


class Seen(NamedTuple):
    """What a token alone looks like: the word in small letters, its shape, and their buckets."""

    word: str
    shape: str
    own: tuple[int, ...]
    is_ordinary: bool


def places(tokens: Sequence[str]) -> list[Place]:
    """Each token in its place."""
    some_capital = any(seen(token).shape in {"Xx", "X"} for token in tokens)
    around = ["", "", *tokens, "", ""]
    first = True
    found = []
    for at, token in enumerate(tokens):
        two, one, here, after, later = around[at : at + 5]
        found.append(Place(two, one, here, after, later, first, some_capital))
        first = token in _ENDS or (first and not token[:1].isalnum())
    return found


def rows(place: Place) -> list[int]:
    """The buckets of a token's features."""
    here = seen(place.here)
    if here.shape == "han":
        characters = han.features(place.two, place.one, place.here, place.after, place.later)
        return [_bucket(feature) for feature in characters]
    two, one, after, later = (
        seen(token) for token in (place.two, place.one, place.after, place.later)
    )
    word, shape = here.word, here.shape
    around = (
        f"f{place.first}{shape}{place.some_capital}", f"a{one.word}|{shape}",
        f"b{two.word}|{one.word}", f"c{after.word}|{shape}", f"d{after.word}|{later.word}",
        f"e{one.shape}|{shape}|{after.shape}", f"g{two.shape}|{one.shape}|{shape}",
        f"h{shape}|{after.shape}|{later.shape}", f"i{one.word[-3:]}|{shape}",
        f"j{after.word[-3:]}|{shape}", f"k{one.word}|{after.word}", f"l{two.word}|{shape}",
        f"m{later.word}|{shape}", f"n{word}|{shape}|{place.first}",
    )  # fmt: skip
    return [*here.own, *(_bucket(feature) for feature in around)]


@lru_cache(_KNOWN)
def seen(token: str) -> Seen:
    """What a token alone looks like; "" is no token."""
    word, shape = token[:_WORD_CHARS].lower(), _shape(token)
    if shape in {"Xx", "X", "x", "xX"}:
        edged = f"^{word}$"
        features = [f"w{word}", f"W{word}{shape}", f"s{shape}"]
        features += [f"p{word[:size]}" for size in (2, 3, 4)]
        features += [f"z{word[-size:]}{shape}" for size in (2, 3, 4, 5)]
        features += [f"t{edged[at : at + 3]}" for at in range(len(edged) - 2)]
        features += [f"q{edged[at : at + 4]}" for at in range(len(edged) - 3)]
    elif shape == "mask":
        # Of two masks of a kind, neither says more than the other.
        word = word.partition(":")[0]
        features = [f"s{word}"]
    else:
        features = [f"s{shape}", f"w{word}" if len(word) < 3 else f"s{shape}{word[:1]}"]
    ordinary = shape in {"mask", "code"} or (token[:1] >= _IDEOGRAPH and shape != "han")
    return Seen(word, shape, tuple(_bucket(feature) for feature in features), ordinary)


def _shape(token: str) -> str:
    head = token[:1]
    if head.isdigit():
        return f"9{min(len(token), 7)}{'a' if token[-1].isalpha() else ''}"
    if not head.isalpha():
        return "mask" if len(token) > 2 and head == "[" else head
    if head >= _IDEOGRAPH:
        return "han" if han.is_han(head) else "letters"
    return "code" if any(char.isdigit() for char in token) else _case(token)


def _case(word: str) -> str:
    if word.islower():
        return "x"
    if word[0].isupper() and word[1:].islower():
        return "Xx"
    return "X" if word.isupper() else "xX"


def _bucket(feature: str) -> int:
    return crc32(feature.encode("utf-8", "replace")) % BUCKETS
