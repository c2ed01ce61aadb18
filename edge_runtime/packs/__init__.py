"""Domain packs: everything a business changes without touching code, read and checked."""

from __future__ import annotations

from edge_runtime.packs.knowledge import read_passages
from edge_runtime.packs.loader import check_pack, load_pack, pack_digest
from edge_runtime.packs.schema import (
    ComplianceRule,
    Escalation,
    HttpSkill,
    Intent,
    Lexicon,
    Localized,
    Pack,
    Persona,
    PolicyRule,
    SensitiveWord,
    Slot,
    Term,
    VipTier,
)
from edge_runtime.packs.tables import parse_items, read_rows

__all__ = [
    "ComplianceRule",
    "Escalation",
    "HttpSkill",
    "Intent",
    "Lexicon",
    "Localized",
    "Pack",
    "Persona",
    "PolicyRule",
    "SensitiveWord",
    "Slot",
    "Term",
    "VipTier",
    "check_pack",
    "load_pack",
    "pack_digest",
    "parse_items",
    "read_passages",
    "read_rows",
]
