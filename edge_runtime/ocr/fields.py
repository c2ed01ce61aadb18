"""Fields of receipts, invoices, appliance displays and type plates (zh, en, es, ms).

Rules over rows of text, in the spirit of key information extraction for scanned receipts
(ICDAR 2019 SROIE task 3): a label decides what the value beside or under it means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from edge_runtime.ocr.amounts import amounts, find_date
from edge_runtime.ocr.layout import Row

_ROW_CHARS = 200
_HEAD_ROWS = 16
_I = re.IGNORECASE

# Best first: what is paid after rounding, then after tax, then any total.
_TOTALS = tuple(
    re.compile(pattern, _I)
    for pattern in (
        r"net{1,2} ?(?:total|amount|amt)|total ?round|round(?:ed|ing)? ?total|总?实付|实收金额"
        r"|total ?a ?pagar|jumlah ?besar|(?:total|amount|amt) ?(?:payable|due|paid)|balance ?due",
        r"grand ?total|价税合计|应付|应收|合计金额|importe ?total|total ?rm"
        r"|total ?(?:\w+ ?)?\(?incl?|total ?con ?iva|jumlah ?keseluruhan",
        r"total ?(?:sales?|amount|amt|price)|总计|总额|总金额|总价|合 ?计",
        r"(?<!sub)(?<!sub[ -])t[o0]tal\b|jumlah\b|金额[:：]",
        r"sub[ -]?t[o0]tal|小计",
    )
)
_NOT_TOTAL = re.compile(
    r"qty|quantity|items?\b|pcs|item\(s\)|tax\b(?!.*incl)|total ?(?:gst|sst|iva|vat)|gst ?total"
    r"|disc|sav(?:ing|ed)|excl|suppl|change|adj|summary|points?\b|includes|数量|件数|税额|优惠|找零|折扣"
    r"|descuento|cambio|base ?imponible",
    _I,
)
_CASH = re.compile(r"^\W*(?:cash|tunai|efectivo|visa|master ?card|现金|微信|支付宝)", _I)

_DATE_LABEL = re.compile(r"\bdate|日期|时间|fecha|tarikh", _I)
_NUMBERS = tuple(
    re.compile(
        rf"(?:{label})[ ]{{0,2}}(?:no|num(?:ber)?|n[ºo°]|id|号码?)?[ ]?[.#:：)=]{{0,3}}[ ]{{0,3}}"
        rf"[#:：]?[ ]{{0,2}}(?P<value>[A-Z0-9][A-Z0-9/-]{{2,30}})",
        _I,
    )
    for label in (
        r"\b(?:tax ?)?inv[ol]{1,2}[il]ce|\binv(?=[ .#:]|no)|发票号码?|\bfactura|receipt(?! ?date)"
        r"|\brcpt|\bbill(?=[ .#:]|no)|小票(?:单?号)?|单 ?据?号|票号|recibo|ticket|\bresit",
        r"\border|\bord(?=[ .#:])|订单(?:编?号)?|pedido|\bdoc(?:ument)?(?=[ .#:]|no)|流水号",
        r"\bs[l1]ip|\btrans(?:action)?(?=[ .#:]|no)|交易号|\bchk|\bcheck",
    )
)
_COMPANY = re.compile(
    r"\b(?:sdn|bhd|s/b|enterprise|trading|restaurants?|restoran|store|mart|market|hypermarket|bakery"
    r"|bakeries|cafe|inc|ltd|llc|corp|company|plt|s\.?l\.?u?|s\.a|supermercado|pharmacy|syarikat"
    r"|perniagaan|kedai|hotel|shop)\b|(?:有限公司|公司|超市|商场|餐厅|酒楼|药房|药店|便利店|专卖店|商店|店)",
    _I,
)
_MERCHANT_LABEL = re.compile(
    r"(?:商户名?称?|店名|商家|门店|销售方名?称?|merchant|store)[:：]\s{0,3}(\S.{1,60})", _I
)
_NAME_LABEL = re.compile(r"名\s{0,4}称[:：]\s{0,3}(\S.{1,60}?(?:有限公司|公司|店|厂|商行|超市))")
_TITLE = re.compile(
    r"tax ?inv|invoice|receipt|cash (?:sale|bill)|welcome|thank|formerly|licensee|original|copy"
    r"|欢迎|小票|收据|发票|单据|凭证|factura|recibo|bienvenid|^\W*date|table|cashier",
    _I,
)
_STOP = re.compile(
    r"\btel|\bfax|phone|电话|gst|\bsst\b|reg\.? ?no|co\.? ?reg|invoice|receipt|\bdate|日期|时间"
    r"|单号|http|www|@|cashier|收银|\bbill\b|\binv\b|teléfono|\bnif\b|\bcif\b|税号|slip|document"
    r"|doc ?no|table",
    _I,
)
_REGISTRATION = re.compile(r"[(（][A-Z0-9 :.\-]{4,20}[)）]?\s*$", _I)
_ADDRESS_LABEL = re.compile(
    r"(?:地\s{0,4}址|address|dirección)(?:[、，]?电\s{0,4}话)?[:：]\s{0,3}(\S.{3,80})", _I
)
_ADDRESS = re.compile(
    r"\b(?:jalan|jln|lot|no\.? ?\d|taman|tmn|lorong|persiaran|lebuh|level|floor|flr|bandar|seksyen"
    r"|section|street|road|avenue|ave|blvd|calle|avda|km)\b|\bc/ |(?<!\d)\d{5}(?!\d) ?[a-z]"
    r"|.[路街巷]\S{0,6}\d+号|.{2}[市省].{1,6}[区县路街]|\d+, ?j",
    _I,
)
_PLACE = re.compile(
    r"selangor|johor|kuala ?lumpur|petaling|kedah|penang|melaka|perak|sabah|sarawak|wilayah|cheras"
    r"|shah ?alam|klang|puchong|subang",
    _I,
)
_ERROR_ALONE = re.compile(r"(?:Err?|ERR?|[EFHPLUC])[ -]?\d{1,3}")
_ERROR_LABELLED = re.compile(
    r"(?:错误|故障|报警|error|fault|fallo|avería)\s{0,2}(?:代?码|code|código)?\s{0,2}[:：#]?\s{0,3}"
    r"(?P<value>[A-Z]{0,3}[ -]?\d{1,4})(?!\d)",
    _I,
)
_MODEL = re.compile(
    r"(?:型\s{0,2}号|机型|\bmodelo?)\s{0,2}(?:no|number|n[ºo])?[.]?\s{0,2}[:：]?\s{0,3}"
    r"(?P<value>[A-Z0-9][A-Z0-9./+-]{2,24}(?: [A-Z0-9-]{0,8}\d[A-Z0-9-]{0,8})?)",
    _I,
)


def find_fields(rows: Sequence[Row]) -> Mapping[str, str]:
    """What is recognised among ``rows`` (in reading order); unknown fields are absent.

    Returns:
        Any of ``merchant``, ``date`` (ISO 8601), ``total`` (decimal string), ``number``,
        ``address``, ``error_code``, ``model``.
    """
    texts = [" ".join(line.text for line in row)[:_ROW_CHARS] for row in rows]
    total = _total(texts)
    found = {
        "merchant": _merchant(texts) if total or _has_document(texts) else None,
        "date": _date(texts),
        "total": total,
        "number": _number(texts),
        "address": _address(texts),
        "error_code": _error_code(rows, texts) if total is None else None,
        "model": _model(texts),
    }
    return {name: value for name, value in found.items() if value}


def _has_document(texts: Sequence[str]) -> bool:
    return any(_TITLE.search(text) for text in texts)


def _total(texts: Sequence[str]) -> str | None:
    # A sum without decimals is usually a misread one ("1200" for "12.00"): a surer reading
    # under a weaker label beats it.
    for surely in (True, False):
        for label in _TOTALS:
            values = [value for value in _labelled(texts, label, surely) if value > 0]
            if values:
                return f"{values[-1]:.2f}"
    cash = [value for text in texts if _CASH.search(text) and (value := _amount(text, True))]
    return f"{cash[0]:.2f}" if cash and cash[0] > 0 else None


def _labelled(texts: Sequence[str], label: re.Pattern[str], surely: bool) -> Iterator[Decimal]:
    for index, text in enumerate(texts):
        match = label.search(text)
        if match is None or _NOT_TOTAL.search(text):
            continue
        value = _amount(text[match.end() :], surely)
        if value is None and index + 1 < len(texts) and _is_bare(texts[index + 1]):
            value = _amount(texts[index + 1], surely)
        if value is not None:
            yield value


def _amount(text: str, surely: bool) -> Decimal | None:
    found = [value for value, is_sure in amounts(text) if is_sure or not surely]
    return found[-1] if found else None


def _is_bare(text: str) -> bool:
    return sum(char.isalpha() for char in text) <= 3


def _date(texts: Sequence[str]) -> str | None:
    labelled = [text for text in texts if _DATE_LABEL.search(text)]
    return next((found for text in (*labelled, *texts) if (found := find_date(text))), None)


def _number(texts: Sequence[str]) -> str | None:
    for label in _NUMBERS:
        for text in texts:
            for match in label.finditer(text):
                value = match["value"].rstrip("/-")
                if any(char.isdigit() for char in value) and find_date(value) is None:
                    return value
    return None


def _merchant(texts: Sequence[str]) -> str | None:
    for pattern in (_MERCHANT_LABEL, _NAME_LABEL):
        for text in texts:
            match = pattern.search(text)
            if match:
                return _name(match[1].split("  ")[0])
    head: list[str] = []
    for text in texts[:_HEAD_ROWS]:
        if _ADDRESS.search(text) or (head and _STOP.search(text)):
            break
        if not _TITLE.search(text) and sum(char.isalpha() for char in text) >= 3:
            head.append(text)
    companies = [text for text in head if _COMPANY.search(text)]
    named = companies or head
    return _name(named[0]) if named else None


def _name(text: str) -> str:
    return _REGISTRATION.sub("", text).strip(" -*:：,，")


def _address(texts: Sequence[str]) -> str | None:
    labelled = [match[1] for text in texts if (match := _ADDRESS_LABEL.search(text))]
    if labelled:
        return labelled[-1].strip()
    parts: list[str] = []
    for text in texts[:_HEAD_ROWS]:
        if parts:
            goes_on = text.endswith(",") or _ADDRESS.search(text) or _PLACE.search(text)
            if _STOP.search(text) or not goes_on:
                break
            parts.append(text)
        elif _ADDRESS.search(text) and not _STOP.search(text) and not _TITLE.search(text):
            parts.append(text)
    return ", ".join(part.strip(" ,") for part in parts) or None


def _error_code(rows: Sequence[Row], texts: Sequence[str]) -> str | None:
    for text in texts:
        match = _ERROR_LABELLED.search(text)
        if match:
            return re.sub(r"[ -]", "", match["value"]).upper()
    for row in rows:
        for line in row:
            if _ERROR_ALONE.fullmatch(line.text.strip()):
                return re.sub(r"[ -]", "", line.text.strip()).upper()
    return None


def _model(texts: Sequence[str]) -> str | None:
    for text in texts:
        match = _MODEL.search(text)
        if match and any(char.isdigit() for char in match["value"]):
            return match["value"].strip()
    return None
