"""Reply templates: which keys exist, which fields each may use, and reading them.

A template is plain text with ``{field}`` holes; format specifications, conversions, attributes
and indexes are refused, so that filling one can never do more than paste text.
"""

from __future__ import annotations

import string
from collections.abc import Mapping

from edge_runtime.packs.documents import Document, parse_toml
from edge_runtime.packs.files import PackFolder
from edge_runtime.packs.problems import Problems

MAX_REPLY_CHARS = 800

STATUSES = ("placed", "packed", "shipped", "out_for_delivery", "delivered", "cancelled", "returned")
_ORDER_FIELDS = ("order_id", "items", "eta", "carrier")

GENERIC_REPLIES: Mapping[str, tuple[str, ...]] = {
    "greeting": (),
    "goodbye": (),
    "thanks": (),
    "bot_identity": (),
    "repeat_nothing": (),
    "clarify": (),
    "clarify_choice": ("options",),
    "out_of_scope": (),
    "no_evidence": (),
    "handover": (),
    "handover_low_confidence": (),
    "handover_complaints": (),
    "handover_offer": (),
    "blocked": (),
    "not_heard": (),
    "picture_unreadable": (),
    "apology": (),
    "queued_offline": (),
    "done_anything_else": (),
    "cancelled_action": (),
}
"""Needed by every pack, in every one of its languages."""

SKILL_REPLIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "handover": {},
    "order_status": {
        "ask_order_id": (),
        "ask_phone_last4": (),
        "verify_failed": (),
        "order_not_found": ("order_id",),
        "order_list": ("count", "orders"),
        **{f"order_status_{status}": _ORDER_FIELDS for status in STATUSES},
        **{f"status_{status}": () for status in STATUSES},
    },
    "change_address": {
        "ask_order_id": (),
        "ask_address": (),
        "ask_phone_last4": (),
        "verify_failed": (),
        "order_not_found": ("order_id",),
        "address_confirm": ("order_id", "address"),
        "address_changed": ("order_id", "address"),
        "address_too_late": ("order_id", "status"),
        **{f"status_{status}": () for status in STATUSES},
    },
    "cancel_order": {
        "ask_order_id": (),
        "ask_phone_last4": (),
        "verify_failed": (),
        "order_not_found": ("order_id",),
        "cancel_confirm": ("order_id",),
        "cancelled": ("order_id",),
        "cancel_too_late": ("order_id",),
    },
    "return": {
        "ask_order_id": (),
        "ask_reason": (),
        "ask_phone_last4": (),
        "verify_failed": (),
        "order_not_found": ("order_id",),
        "return_started": ("order_id", "items", "return_id"),
        "return_not_allowed": ("reason",),
        "return_expired": ("order_id", "days"),
    },
    "exchange": {
        "ask_order_id": (),
        "ask_exchange_for": (),
        "ask_phone_last4": (),
        "verify_failed": (),
        "order_not_found": ("order_id",),
        "exchange_started": ("order_id", "exchange_id"),
        "return_not_allowed": ("reason",),
        "return_expired": ("order_id", "days"),
    },
    "refund_status": {
        "ask_order_id": (),
        "ask_phone_last4": (),
        "verify_failed": (),
        "order_not_found": ("order_id",),
        "refund_status_none": ("order_id",),
        "refund_pending": ("order_id", "amount", "days"),
        "refund_done": ("order_id", "amount"),
    },
    "price_stock": {
        "ask_product": (),
        "price": ("product", "price"),
        "stock_in": ("product", "count"),
        "stock_out": ("product",),
        "price_stock": ("product", "price", "count"),
        "product_not_found": ("product",),
    },
    "recommend": {"recommend": ("products",)},
    "invoice": {
        "ask_receipt": (),
        "ask_invoice_title": (),
        "invoice_confirm": ("merchant", "date", "total"),
        "invoice_issued": ("number", "total"),
        "invoice_not_ours": ("merchant",),
        "invoice_too_old": ("days",),
    },
    "repair": {
        "ask_symptom": (),
        "repair_steps": ("steps",),
        "repair_not_found": (),
        "repair_bring_in": (),
    },
    "complaint": {"complaint_recorded": ("ticket",), "complaint_again": ("ticket",)},
}
"""Built-in skills, and the reply keys that a pack using one must have."""

TIER_FIELDS = ("name",)
"""What the replies named by a VIP tier may use."""


def template_problem(template: str, fields: tuple[str, ...]) -> str:
    """What is wrong with ``template`` given the fields it may use, or an empty string."""
    if not template.strip():
        return "The reply is empty."
    if len(template) > MAX_REPLY_CHARS:
        return f"The reply is longer than {MAX_REPLY_CHARS} characters."
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return f"The braces do not match ({error})."
    for _, field, spec, conversion in parts:
        if field is None:
            continue
        if field not in fields:
            known = ", ".join(f"{{{name}}}" for name in fields) or "no fields"
            return f"Unknown field {{{field}}}; this reply may use {known}."
        if spec or conversion:
            return f"The field {{{field}}} may not have a format or conversion."
    return ""


def read_replies(folder: PackFolder, problems: Problems) -> dict[str, Document]:
    """Every ``replies.<language>.toml`` of the pack, by language; values are checked to be text."""
    documents: dict[str, Document] = {}
    for name in folder.names:
        if not (name.startswith("replies.") and name.endswith(".toml") and "/" not in name):
            continue
        text = folder.text(name)
        document = None if text is None else parse_toml(text, name, problems)
        if document is None:
            continue
        flat: dict[str, str] = {}
        for key, value in document.data.items():
            if isinstance(value, str):
                flat[key] = value
            else:
                problems.report(
                    f"The reply '{key}' is not text.",
                    file=name,
                    line=document.line(key),
                    hint='Write it as  key = "text"  without table headers.',
                )
        documents[name.removeprefix("replies.").removesuffix(".toml")] = Document(
            name, flat, document.lines
        )
    return documents
