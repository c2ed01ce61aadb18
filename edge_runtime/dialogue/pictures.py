"""What kind of picture this is, judged by the text that was read from it."""

from __future__ import annotations

import re
from typing import Literal

from edge_runtime.turn import PictureText

PictureKind = Literal["receipt", "appliance", "text", "unreadable"]

_ERROR_CODE = re.compile(
    r"\b(?:error|fault|err|code|código)\b\W*[a-z]?\d{1,3}\b|(?:故障|错误)(?:代码|码)?\W*[a-z]?\d"
    r"|(?<![a-z0-9])(?:e|f|er|h|u|p)-?\d{1,2}(?![a-z0-9])",
    re.IGNORECASE,
)
_RATING_PLATE = re.compile(
    r"\b\d{2,4}\s*v\s*~|\b(?:220|230|110|120)\s*-?\s*(?:\d{3})?\s*v\b|\b[56]0\s*hz\b"
    r"|额定(?:功率|电压|频率)|型号|产品编号|\bmodel(?:\s*(?:no|number)\b|\s*[:.\uff1a])|\bmodelo\s*[:.\uff1a]"
    r"|\bs/?n\s*[:.\uff1a]|\brated (?:power|voltage)\b|\bpotencia nominal\b",
    re.IGNORECASE,
)
MAX_SCANNED_CHARS = 4000


def picture_kind(picture: PictureText) -> PictureKind:
    """Tell a till receipt, an appliance's display or rating plate, and other text apart."""
    fields = picture.fields
    if fields.get("total") and any(fields.get(name) for name in ("merchant", "date", "number")):
        return "receipt"
    text = picture.text[:MAX_SCANNED_CHARS]
    if not text.strip():
        return "unreadable"
    if _ERROR_CODE.search(text) or _RATING_PLATE.search(text):
        return "appliance"
    return "text"
