"""How word overlap and vector similarity become one score in [0, 1].

E5 vectors are anisotropic: unrelated texts sit near a cosine of 0.8. Centring removes the common
direction before comparing (Mu & Viswanath, "All-but-the-Top", 2018), so that 0 means unrelated.
"""

from __future__ import annotations

import numpy as np

from edge_runtime.knowledge.base import Vectors

DENSE_WEIGHT = 0.7
TITLE_WEIGHT = 0.6
"""How much of the dense score comes from the title alone: a FAQ's title is its question."""
FULL_MATCH = 0.75
"""Centred cosine at which a paraphrase counts as certain."""


def background(vectors: Vectors) -> Vectors:
    """The common direction of all passages, shape (dimensions,)."""
    if not len(vectors):
        return np.zeros(vectors.shape[1], dtype=np.float32)
    return np.asarray(vectors.mean(axis=0), dtype=np.float32)


def dense_scores(query: Vectors, titles: Vectors, texts: Vectors, common: Vectors) -> Vectors:
    """Similarity of ``query`` (dimensions,) to each passage, shape (n,), clipped to [0, 1]."""
    by_title = _centred_cosine(query, titles, common)
    by_text = _centred_cosine(query, texts, common)
    blend = TITLE_WEIGHT * by_title + (1 - TITLE_WEIGHT) * by_text
    scores = np.maximum(blend, by_text) / FULL_MATCH
    return np.asarray(np.clip(scores, 0.0, 1.0), dtype=np.float32)


def fuse(dense: Vectors, words: Vectors) -> Vectors:
    """Weighted sum of dense similarity and word coverage, both (n,) in [0, 1]."""
    return np.asarray(DENSE_WEIGHT * dense + (1 - DENSE_WEIGHT) * words, dtype=np.float32)


def _centred_cosine(query: Vectors, rows: Vectors, common: Vectors) -> Vectors:
    centred = rows - common
    centred_query = query - common
    norms = np.linalg.norm(centred, axis=1) * np.linalg.norm(centred_query)
    return np.asarray(centred @ centred_query / np.maximum(norms, 1e-6), dtype=np.float32)
