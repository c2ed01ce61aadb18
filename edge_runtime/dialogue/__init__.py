"""Dialogue: what is remembered, what to do next, and the skills that do it."""

from __future__ import annotations

from edge_runtime.dialogue.base import Customer, Order, Product, ShopData
from edge_runtime.dialogue.engine import KNOWLEDGE, Dialogue
from edge_runtime.dialogue.outbound import OutboundQueue
from edge_runtime.dialogue.policy import DialoguePolicy
from edge_runtime.dialogue.shop import SqliteShop
from edge_runtime.dialogue.skills.base import Retrieve, SkillOutcome, SkillRequest
from edge_runtime.dialogue.state import Pending, SessionState

__all__ = [
    "KNOWLEDGE",
    "Customer",
    "Dialogue",
    "DialoguePolicy",
    "Order",
    "OutboundQueue",
    "Pending",
    "Product",
    "Retrieve",
    "SessionState",
    "ShopData",
    "SkillOutcome",
    "SkillRequest",
    "SqliteShop",
]
