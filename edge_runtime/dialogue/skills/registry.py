"""Which skill answers to which name."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.dialogue.outbound import Call, Delivery, OutboundQueue
from edge_runtime.dialogue.skills.base import Skill
from edge_runtime.dialogue.skills.cancel_order import CancelOrder
from edge_runtime.dialogue.skills.change_address import ChangeAddress
from edge_runtime.dialogue.skills.complaint import Complaint
from edge_runtime.dialogue.skills.handover import Handover
from edge_runtime.dialogue.skills.http import DeclaredCall
from edge_runtime.dialogue.skills.invoice import Invoice
from edge_runtime.dialogue.skills.order_status import OrderStatus
from edge_runtime.dialogue.skills.products import PriceStock, Recommend
from edge_runtime.dialogue.skills.refund_status import RefundStatus
from edge_runtime.dialogue.skills.repair import Repair
from edge_runtime.dialogue.skills.repeat import Repeat
from edge_runtime.dialogue.skills.returns import Exchange, Return
from edge_runtime.errors import PackError
from edge_runtime.packs import Pack

BUILT_IN: Mapping[str, type[Skill]] = {
    "order_status": OrderStatus,
    "change_address": ChangeAddress,
    "cancel_order": CancelOrder,
    "return": Return,
    "exchange": Exchange,
    "refund_status": RefundStatus,
    "price_stock": PriceStock,
    "recommend": Recommend,
    "invoice": Invoice,
    "repair": Repair,
    "complaint": Complaint,
    "handover": Handover,
    "repeat": Repeat,
}


class SkillRegistry:
    """The built-in skills and those the pack declares.

    Raises:
        PackError: a declared skill takes a built-in one's name or calls a forbidden address, or
            an intent names a skill that nobody has.
    """

    def __init__(self, pack: Pack, queue: OutboundQueue | None = None) -> None:
        self._queue = queue
        self._skills: dict[str, Skill] = {name: kind() for name, kind in BUILT_IN.items()}
        self._calls: dict[str, DeclaredCall] = {}
        for declared in pack.http_skills:
            if declared.name in self._skills or queue is None:
                why = "its name is taken" if queue else "there is no queue for it"
                raise PackError(f"The skill '{declared.name}' cannot be used: {why}.")
            self._calls[declared.name] = DeclaredCall(declared, queue)
        self._skills |= self._calls
        for intent in pack.intents.values():
            if intent.skill and intent.skill not in self._skills:
                raise PackError(
                    f"The intent '{intent.name}' names an unknown skill '{intent.skill}'.",
                    file="intents.yaml",
                    hint=f"Known: {', '.join(sorted(self._skills))}.",
                )

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._skills)

    def __getitem__(self, name: str) -> Skill:
        return self._skills[name]

    def flush(self) -> int:
        """Send the calls that wait for a connection and are due; gives how many were done.

        Raises:
            StorageError: the queue cannot be read or written.
        """
        return self._queue.flush(self._send) if self._queue else 0

    def _send(self, call: Call) -> Delivery:
        declared = self._calls.get(call.skill)
        return declared.send(call) if declared else "refused"
