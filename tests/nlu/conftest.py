"""A small pack and the real encoder, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_runtime.bundles import shipped_files
from edge_runtime.nlu import Encoder
from edge_runtime.nlu.student import STUDENT_BASE
from edge_runtime.packs.schema import Escalation, Intent, Lexicon, Pack, Persona, Term

_EXAMPLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "order_status": {
        "zh": ("我的订单到哪了", "快递什么时候到", "查一下物流", "包裹还没收到", "发货了吗"),
        "en": ("where is my order", "when will my parcel arrive", "track my package",
               "has it shipped yet", "my delivery has not come"),
        "es": ("dónde está mi pedido", "cuándo llega mi paquete", "rastrear mi envío",
               "ya lo enviaron", "no ha llegado mi pedido"),
    },
    "return_request": {
        "zh": ("我要退货", "这件衣服不合适想退", "怎么退款", "能退吗", "买错了想退掉"),
        "en": ("I want to return this", "can I get a refund", "it does not fit, take it back",
               "how do I return a jacket", "I would like my money back"),
        "es": ("quiero devolver esto", "puedo pedir un reembolso", "no me queda, devolución",
               "cómo devuelvo una chaqueta", "quiero mi dinero de vuelta"),
    },
    "opening_hours": {
        "zh": ("你们几点开门", "几点关门", "周末营业吗", "营业时间是什么时候", "今天开到几点"),
        "en": ("what time do you open", "when do you close", "are you open on Sunday",
               "what are your opening hours", "how late are you open today"),
        "es": ("a qué hora abren", "cuándo cierran", "abren los domingos",
               "cuál es el horario", "hasta qué hora están abiertos hoy"),
    },
    "price_query": {
        "zh": ("这个多少钱", "价格是多少", "外套卖多少", "有没有打折", "贵不贵"),
        "en": ("how much is this", "what does the jacket cost", "what is the price",
               "is there a discount", "how expensive is it"),
        "es": ("cuánto cuesta esto", "qué precio tiene la chaqueta", "cuál es el precio",
               "hay descuento", "es muy caro"),
    },
    "invoice": {
        "zh": ("我要开发票", "能开增值税发票吗", "发票怎么开", "补开一张发票", "电子发票发我邮箱"),
        "en": ("I need an invoice", "can you issue a tax invoice", "how do I get an invoice",
               "send me the invoice by email", "please reissue my invoice"),
        "es": ("necesito una factura", "pueden emitir una factura", "cómo obtengo la factura",
               "envíeme la factura por correo", "quiero otra copia de la factura"),
    },
    "human_agent": {
        "zh": ("转人工", "我要找真人客服", "叫你们经理来", "不想跟机器人说", "帮我接客服"),
        "en": ("talk to a human", "connect me to an agent", "I want to speak to a person",
               "get me your manager", "no more robots please"),
        "es": ("quiero hablar con una persona", "páseme con un agente", "llame al gerente",
               "no quiero un robot", "atención humana por favor"),
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def pack() -> Pack:
    intents = {
        name: Intent(name, name, examples, reply=name) for name, examples in _EXAMPLES.items()
    }
    lexicon = Lexicon(
        colloquial={"zh": (("包包", "手提包"),), "en": (("tees", "t-shirts"),)},
        terms=(
            Term("外套", "zh", "category", "coats"),
            Term("jacket", "en", "category", "coats"),
            Term("coffee machine", "en", "product", "P-7"),
        ),
        sensitive=(),
        compliance=(),
        hints={},
    )
    return Pack(
        name="corner-shop",
        version="1",
        root=Path(),
        languages=("zh", "en", "es"),
        default_language="zh",
        persona=Persona({"en": "Ada"}, {"en": "kind"}),
        escalation=Escalation(),
        vip={},
        intents=intents,
        out_of_scope={"zh": ("周杰伦的新歌叫什么",), "en": ("who sings this song",)},
        replies={},
        lexicon=lexicon,
        policies=(),
        http_skills=(),
        knowledge_files=(),
    )


@pytest.fixture(scope="session")
def nlu_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nlu-cache")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder(shipped_files(STUDENT_BASE), threads=1)
