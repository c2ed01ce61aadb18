"""Retrieval over the pack's own texts: SQLite FTS5 and sentence vectors, fused."""

from __future__ import annotations

from edge_runtime.knowledge.base import Embedder, SyncReport
from edge_runtime.knowledge.database import copy_index
from edge_runtime.knowledge.index import KnowledgeBase

__all__ = ["Embedder", "KnowledgeBase", "SyncReport", "copy_index"]
