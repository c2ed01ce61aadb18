"""Which directions of the sentence vectors only say what language a text is in.

Vectors of one language lie together, so that a text's nearest neighbours are in its own language
and a boundary drawn in one language lies askew in another. What the mean vectors of languages
differ by is taken out (Yang et al., "A Simple and Effective Method To Eliminate the Self Language
Bias in Multilingual Representations", EMNLP 2021).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from converters.dataset import Row

_ENOUGH: Final = 50
_MOST: Final = 300
"""Texts that say a language's mean, at least and at most."""


def by_language(rows: Iterable[Row]) -> Mapping[str, Sequence[str]]:
    """Distinct texts of each language that has enough of them, from the whole of them; nothing
    where one language alone has."""
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        if row.language is not None:
            texts[row.language][row.text] = None
    found = {
        language: list(said)[:: max(1, len(said) // _MOST)][:_MOST]
        for language, said in sorted(texts.items())
        if len(said) >= _ENOUGH
    }
    return found if len(found) > 1 else {}


def language_directions(means: Tensor) -> Tensor:
    """Orthonormal directions (languages - 1, width) that ``means`` (languages, width), the mean
    vector of each language, differ by."""
    apart = means - means.mean(0)
    # One of them follows from the others.
    directions: Tensor = torch.linalg.svd(apart.double(), full_matrices=False)[2][: len(means) - 1]
    return directions.float()
