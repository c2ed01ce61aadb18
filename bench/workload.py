"""What the benchmarks ask: texts, recordings made by the assistant's own voice, a receipt."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from edge_runtime.audio import wav_bytes

if TYPE_CHECKING:
    from edge_runtime.rooms import Rooms

FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    language: str


PACK_ANSWERS = (
    Question("上周买的外套不合适，能退吗？", "zh"),
    Question("面包可以退吗？", "zh"),
    Question("你们几点开门？", "zh"),
    Question("发票怎么开？", "zh"),
    Question("Can I return bread?", "en"),
    Question("What are your opening hours?", "en"),
    Question("How long is the warranty on a kettle?", "en"),
    Question("¿Puedo devolver el pan?", "es"),
    Question("¿A qué hora abren?", "es"),
)
"""Answered from the pack, without the language model."""

MODEL_ANSWERS = (
    Question("无线蓝牙耳机充一次电能用多久？", "zh"),
    Question("电饭煲的内胆是什么材质的？", "zh"),
    Question("扫地机器人适合养宠物的家庭吗？", "zh"),
    Question("How long does the battery of the wireless earphones last?", "en"),
    Question("What is the capacity of the air fryer?", "en"),
    Question("Is the electric kettle good for making tea?", "en"),
)
"""Product questions, phrased by the language model from the retrieved passages."""

VOICE = (
    Question("你好，我上周买的外套不合适，能退吗？", "zh"),
    Question("请问你们周末几点开门？", "zh"),
    Question("我想了解一下会员积分怎么用。", "zh"),
    Question("Hello, can I return the jacket I bought last week?", "en"),
    Question("What are your opening hours at the weekend?", "en"),
    Question("Hola, ¿puedo devolver la chaqueta que compré?", "es"),
)

RECEIPT = (
    "云杉百货",
    "小票号：SN20261120088",
    "日期：2026-11-20 18:32",
    "电热水壶 K2      129.00",
    "毛巾 2条          39.80",
    "合计：168.80",
)


def recordings(rooms: Rooms) -> list[tuple[Question, bytes]]:
    """Each voice question as a WAV file, spoken by the profile's own voice."""
    return [(q, wav_bytes(rooms.say_all(q.text, q.language, ""))) for q in VOICE]


def receipt_png() -> bytes:
    """A till receipt as a PNG file."""
    image = Image.new("RGB", (620, 70 + 56 * len(RECEIPT)), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.truetype(FONT, 34)
    for number, line in enumerate(RECEIPT):
        pen.text((36, 30 + 56 * number), line, fill="black", font=font)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
