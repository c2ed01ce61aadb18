"""Personal data as people type it to an agent: MultiDoGO's dialogues, whose words are labelled."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHATS = "dialogue_multidogo"
_KINDS = {
    "name": "names", "address": "addresses",
    "current_zipcode": "postal codes", "new_zipcode": "postal codes",
}  # fmt: skip


class Typed(NamedTuple):
    """A stretch [start, end) of a text, and what it is."""

    text: str
    start: int
    end: int
    kind: str


def typed(folder: Path, part: str) -> Iterator[Typed]:
    """What customers of all domains typed about themselves, in one part of the set.

    Args:
        part: "dev" or "test".
    """
    for path in sorted((folder / CHATS).glob(f"*.{part}.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            next(file)
            for line in file:
                cells = line.rstrip("\n").split("\t")
                if len(cells) > 4:
                    yield from _stretches(cells[3], cells[4].split(" "))


def _stretches(text: str, tags: list[str]) -> Iterator[Typed]:
    words = text.split(" ")
    if len(words) != len(tags):
        return
    at = 0
    stretch: Typed | None = None
    for word, tag in zip([*words, ""], [*tags, ""], strict=True):
        kind = _KINDS.get(tag)
        if stretch is not None and stretch.kind != kind:
            yield stretch
            stretch = None
        if kind is not None:
            start = at if stretch is None else stretch.start
            stretch = Typed(text, start, at + len(word), kind)
        at += len(word) + 1
