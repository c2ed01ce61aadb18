"""Ordinary utterances to learn from: what customers say without naming anybody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from converters.redaction.lists import given_names

_WORD = re.compile(r"[^\W\d_]+")
_OFTEN = 60
"""A given name seen this often in small letters is a word as well ("bill")."""


def without_names(texts: Iterable[str]) -> list[str]:
    """The different texts in which no given name of the lists stands.

    Public sets of utterances hold made-up customers, who must not be learnt as ordinary words.
    """
    kept = [text for text in dict.fromkeys(texts) if text.strip()]
    seen = Counter(word for text in kept for word in _WORD.findall(text) if word.islower())
    names = {name for name in given_names() if seen[name] < _OFTEN}
    return [text for text in kept if names.isdisjoint(_WORD.findall(text.lower()))]
