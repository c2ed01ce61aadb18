"""An invoice for a till receipt that the customer holds up to the camera."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation

from rapidfuzz import fuzz, utils

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.base import Receipt
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.dialogue.state import CONFIRM, SessionState

MAX_AGE_DAYS = 30
MIN_NAME_SCORE = 85.0
MIN_HAN_NAME_SCORE = 75.0
"""One misread character weighs more in a name of four."""
_FIELDS = ("merchant", "date", "total", "number")
MAX_TOTAL = Decimal(10_000_000)


class Invoice:
    """Receipt, whose it is and how old, whom the invoice is for, a yes, the invoice."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        state = _with_receipt(request)
        receipt = _receipt(state)
        if receipt is None:
            state = _without_receipt(state)
            shown = request.picture is not None and not request.picture.text.strip()
            reply = "picture_unreadable" if shown else "ask_receipt"
            return SkillOutcome(reply, state, awaiting="receipt")
        if not _is_ours(receipt.merchant, request):
            values = {"merchant": receipt.merchant}
            return SkillOutcome("invoice_not_ours", _without_receipt(state), values)
        if not 0 <= (request.today - receipt.day).days <= MAX_AGE_DAYS:
            values = {"days": str(MAX_AGE_DAYS)}
            return SkillOutcome("invoice_too_old", _without_receipt(state), values)
        title = request.slot("invoice_title")
        if not title:
            return SkillOutcome("ask_invoice_title", state, awaiting="invoice_title")
        total = localize.amount(receipt.total)
        if not request.confirmed:
            values = {
                "merchant": receipt.merchant,
                "date": localize.day(receipt.day, request.language),
                "total": total,
            }
            return SkillOutcome("invoice_confirm", state, values, awaiting=CONFIRM)
        number = request.shop.issue_invoice(receipt, title)
        return SkillOutcome(
            "invoice_issued",
            _without_receipt(state).forget("invoice_title"),
            {"number": number, "total": total},
            sources=(f"receipt:{receipt.number or receipt.day.isoformat()}",),
        )


def _with_receipt(request: SkillRequest) -> SessionState:
    state, picture = request.state, request.picture
    if picture is None or not picture.fields.get("total"):
        return state
    for name in _FIELDS:
        state = state.remember(f"receipt_{name}", picture.fields.get(name, ""))
    return state


def _without_receipt(state: SessionState) -> SessionState:
    return state.forget(*(f"receipt_{name}" for name in _FIELDS))


def _receipt(state: SessionState) -> Receipt | None:
    """The remembered receipt, or ``None`` while it lacks what an invoice needs."""
    merchant, day, total, number = (state.slot(f"receipt_{name}") for name in _FIELDS)
    try:
        amount = Decimal(total)
        issued = date.fromisoformat(day[:10])
    except (InvalidOperation, ValueError):
        return None
    if not merchant or not amount.is_finite() or not 0 < amount < MAX_TOTAL:
        return None
    return Receipt(merchant, issued, amount, number)


def _is_ours(merchant: str, request: SkillRequest) -> bool:
    """Whether a receipt's heading names one of our branches; OCR may have misread a letter."""
    heading = utils.default_process(merchant)
    ours = {name for store in request.shop.stores() for name in store.names.values()}
    return any(_is_named(utils.default_process(name), heading) for name in ours)


def _is_named(name: str, heading: str) -> bool:
    if not name or 2 * len(heading) < len(name):
        return False
    needed = MIN_NAME_SCORE if name.isascii() else MIN_HAN_NAME_SCORE
    return fuzz.partial_ratio(name, heading) >= needed
