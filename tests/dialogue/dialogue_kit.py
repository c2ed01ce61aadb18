"""A small shop of the tests' own, and a conversation that plays the other stages' parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from edge_runtime.dialogue import Dialogue, SessionState
from edge_runtime.dialogue.skills import SkillOutcome
from edge_runtime.packs.schema import (
    Escalation,
    Intent,
    Lexicon,
    Pack,
    Persona,
    PolicyRule,
    Slot,
    VipTier,
)
from edge_runtime.turn import (
    OUT_OF_SCOPE,
    Card,
    Decision,
    Entity,
    Passage,
    PictureText,
    Understanding,
)

TODAY = date(2026, 11, 24)
START = 1_790_000_000.0

CUSTOMERS = """customer_id,name,phone,tier,points,language
C1,李雷,13800001234,none,10,zh
C2,Ana,13900005678,gold,900,es
"""
PRODUCTS = """id,name.zh,name.en,name.es,aliases.zh,aliases.en,aliases.es,category,price,stock,image
P1,羊毛外套,Wool coat,Abrigo de lana,大衣|外套,coat,abrigo,clothing,399.00,7,../images/coat.png
P2,全麦面包,Wholemeal bread,Pan integral,面包,bread,pan,food,12.50,0,
P3,电热水壶,Electric kettle,Hervidor,水壶,kettle,hervidor,appliance,129.00,3,
"""
ORDERS = (
    "order_id,customer_id,status,items,amount,address,carrier,placed_day,eta_day,delivered_day,"
    "refund,refund_day\n"
    "R20261101001,C1,packed,P1:1,399.00,北京市海淀区中关村大街1号,顺丰速运,-1,2,,none,\n"
    "R20261101002,C1,shipped,P3:2,258.00,北京市海淀区中关村大街1号,顺丰速运,-2,1,,none,\n"
    "R20261101003,C2,delivered,P1:1 P2:1,411.50,Calle Mayor 5,SEUR,-6,-3,-3,pending,2\n"
    "R20261101004,C2,delivered,P2:1,12.50,Calle Mayor 5,,-2,-1,-1,none,\n"
    "R20261101005,C2,delivered,P1:1,399.00,Calle Mayor 5,SEUR,-40,-35,-35,done,\n"
)
STORES = """store_id,name.zh,name.en,name.es,phone,hours
S1,云杉百货,Spruce Store,Abeto,010-1234567,9-21
"""
RETURNS = """---
kind: policy
topic: returns
---
# 退货政策
## 一般商品 {#general}
可以,没有使用过的商品,七天内凭小票可以退货。
## 食品 {#food}
抱歉,食品一经售出不能退货。包装破损的,请在一天内联系我们。
"""
REPAIR = Passage(
    "kettle#no-heat", "水壶", "先拔下电源。", "zh", "repair", "repair", 0.9, ("images/k.png",)
)

_ORDER = Slot("order_id", "order_id", True, "ask_order_id")
_PRODUCT = Slot("product", "product", True, "ask_product")

INTENTS = (
    Intent("greeting", "", {"zh": ("你好",)}, reply="greeting"),
    Intent("goodbye", "", {"zh": ("再见",)}, reply="goodbye"),
    Intent("repeat", "", {"zh": ("再说一遍",)}, reply="repeat_nothing"),
    Intent("order_status", "", {"zh": ("我的订单到哪了",)}, (_ORDER,), skill="order_status"),
    Intent("change_address", "", {"zh": ("改地址",)}, (_ORDER,), skill="change_address"),
    Intent("cancel_order", "", {"zh": ("取消订单",)}, (_ORDER,), skill="cancel_order"),
    Intent("return_request", "", {"zh": ("我要退货",)}, (_ORDER,), skill="return"),
    Intent("exchange_request", "", {"zh": ("我要换货",)}, (_ORDER,), skill="exchange"),
    Intent("refund_status", "", {"zh": ("退款到了吗",)}, (_ORDER,), skill="refund_status"),
    Intent("price_query", "", {"zh": ("多少钱",)}, (_PRODUCT,), skill="price_stock"),
    Intent("recommend", "", {"zh": ("推荐一下",)}, skill="recommend"),
    Intent("invoice", "", {"zh": ("开发票",)}, skill="invoice"),
    Intent("repair", "", {"zh": ("水壶坏了",)}, skill="repair"),
    Intent("complaint", "", {"zh": ("我要投诉",)}, skill="complaint", complaint=True),
    Intent("human", "", {"zh": ("转人工",)}, skill="handover"),
    Intent("return_policy", "", {"zh": ("外套能退吗",)}, topic="returns"),
    Intent("delivery", "", {"zh": ("运费多少",)}, topic="delivery"),
)

REPLY_FIELDS = {
    "clarify_choice": "options",
    "order_not_found": "order_id",
    "order_list": "count orders",
    "address_confirm": "order_id address",
    "address_changed": "order_id address",
    "address_too_late": "order_id status",
    "cancel_confirm": "order_id",
    "cancelled": "order_id",
    "cancel_too_late": "order_id",
    "return_started": "order_id items return_id",
    "return_not_allowed": "reason",
    "return_expired": "order_id days",
    "exchange_started": "order_id exchange_id",
    "refund_status_none": "order_id",
    "refund_pending": "order_id amount days",
    "refund_done": "order_id amount",
    "stock_out": "product",
    "price_stock": "product price count",
    "product_not_found": "product",
    "recommend": "products",
    "invoice_confirm": "merchant date total",
    "invoice_issued": "number total",
    "invoice_not_ours": "merchant",
    "invoice_too_old": "days",
    "repair_steps": "steps",
    "complaint_recorded": "ticket",
    "complaint_again": "ticket",
    "greeting_vip": "name",
    "handover_vip": "name",
} | {
    f"order_status_{status}": "order_id items eta carrier"
    for status in ("placed", "packed", "shipped", "delivered", "cancelled")
}
PLAIN = (
    "greeting",
    "goodbye",
    "repeat_nothing",
    "clarify",
    "out_of_scope",
    "no_evidence",
    "handover",
    "blocked",
    "handover_low_confidence",
    "handover_complaints",
    "handover_offer",
    "not_heard",
    "picture_unreadable",
    "apology",
    "queued_offline",
    "done_anything_else",
    "cancelled_action",
    "ask_order_id",
    "ask_phone_last4",
    "ask_address",
    "ask_product",
    "ask_reason",
    "ask_exchange_for",
    "ask_symptom",
    "ask_receipt",
    "ask_invoice_title",
    "verify_failed",
    "repair_not_found",
)


def replies(language: str) -> dict[str, str]:
    """Each reply says its key, its language and its fields, so that tests can see them all."""
    fielded = {
        key: f"[{language}:{key}]" + "".join(f" {{{name}}}" for name in fields.split())
        for key, fields in REPLY_FIELDS.items()
    }
    return {key: f"[{language}:{key}]" for key in PLAIN} | fielded


def make_pack(root: Path, **changes: object) -> Pack:
    """A pack in ``root`` with this file's tables, policies and intents."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "knowledge").mkdir(exist_ok=True)
    tables = {"customers": CUSTOMERS, "products": PRODUCTS, "orders": ORDERS, "stores": STORES}
    for name, text in tables.items():
        (root / "data" / f"{name}.csv").write_text(text, encoding="utf-8")
    returns = root / "knowledge" / "returns.zh.md"
    returns.write_text(RETURNS, encoding="utf-8")
    values: dict[str, object] = {
        "name": "small",
        "version": "1.0.0",
        "root": root,
        "languages": ("zh", "en", "es"),
        "default_language": "zh",
        "persona": Persona({}, {}),
        "escalation": Escalation(),
        "vip": {"gold": VipTier("gold", "greeting_vip", "handover_vip", 2, 2)},
        "intents": {intent.name: intent for intent in INTENTS},
        "out_of_scope": {},
        "replies": {language: replies(language) for language in ("zh", "en", "es")},
        "lexicon": Lexicon({}, (), (), (), {}),
        "policies": (
            PolicyRule("returns", "", "returns#general"),
            PolicyRule("returns", "food", "returns#food"),
        ),
        "http_skills": (),
        "knowledge_files": (returns,),
        "tables": {name: root / "data" / f"{name}.csv" for name in tables},
    }
    return Pack(**{**values, **changes})  # type: ignore[arg-type]


def said(
    text: str,
    intent: str = OUT_OF_SCOPE,
    confidence: float = 0.95,
    entities: Sequence[tuple[str, str]] = (),
    *,
    language: str = "zh",
    sentiment: str = "neutral",
    sentiment_confidence: float = 0.9,
    candidates: tuple[tuple[str, float], ...] = (),
) -> Understanding:
    """An understanding whose entities stand in the text where their value does, else at 0."""
    found = []
    for type_, value in entities:
        start = max(0, text.find(value))
        shown = value if value in text else text[:1]
        found.append(Entity(type_, value, shown, start, start + len(shown)))
    return Understanding(
        text,
        text,
        language,
        intent,
        confidence,
        sentiment,  # type: ignore[arg-type]
        sentiment_confidence,
        tuple(found),
        candidates,
    )


YES = ("yes_no", "yes")
NO = ("yes_no", "no")


@dataclass
class Conversation:
    """One session, taken through whole turns the way the assistant does."""

    dialogue: Dialogue
    user: str = ""
    now: float = START
    state: SessionState = field(default_factory=lambda: SessionState("s1", active_at=START))
    decision: Decision | None = None
    outcome: SkillOutcome | None = None
    cards: tuple[Card, ...] = ()
    evidence: bool = True
    retrieved: tuple[Passage, ...] = (REPAIR,)

    def turn(
        self,
        understanding: Understanding,
        *,
        picture: PictureText | None = None,
        abusive: bool = False,
    ) -> str:
        """Take one turn and give the reply; an answer from knowledge replies ``<topic>``."""
        customer = self.dialogue.customer(self.user)
        decision, state = self.dialogue.decide(
            understanding,
            self.state,
            customer=customer,
            picture=picture,
            abusive=abusive,
            now=self.now,
        )
        if decision.kind == "answer" and not decision.reply and not self.evidence:
            decision, state = self.dialogue.on_no_evidence(decision, state)
        values, key = dict(decision.values), decision.reply
        self.outcome, self.cards = None, self.dialogue.cards(decision)
        if decision.kind in ("skill", "handover"):
            self.outcome = self.dialogue.run_skill(
                decision,
                understanding,
                state,
                customer=customer,
                picture=picture,
                retrieve=lambda query, topic: self.retrieved,
                today=TODAY,
            )
            key, state, self.cards = self.outcome.reply, self.outcome.state, self.outcome.cards
            values |= dict(self.outcome.values)
        reply = f"<{decision.topic}>"
        if key:
            reply = self.dialogue.render(key, state.language, values)
        self.decision = decision
        replied = self.dialogue.replied(decision, state, reply)
        self.state = SessionState.from_json(replied.to_json(), session=replied.session)
        self.now += 5
        return reply

    def say(self, text: str, *args: object, **kwargs: object) -> str:
        """Take one turn with a hand-made understanding of ``text``."""
        return self.turn(said(text, *args, **kwargs))  # type: ignore[arg-type]
