"""Postal addresses and vehicle plates, in Chinese, English and Spanish forms."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_runtime.journal.redact_numbers import Span

_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使]\s?[A-HJ-NP-Za-hj-np-z][\s·•.-]?"
    r"(?=[A-Za-z]{0,5}\d)(?:[A-HJ-NP-Za-hj-np-z0-9]{6}|[A-HJ-NP-Za-hj-np-z0-9]{4}[A-HJ-NP-Za-hj-np-z0-9挂学警港澳])"
    r"(?![A-Za-z0-9])"
)
_PLATE_AFTER_WORD = re.compile(
    r"(?i:\bplate(?: number)?|\bregistration|\blicen[cs]e plate|matr[ií]cula|placas?|车牌号?)"
    r"(?i:\s{1,4}(?:is|es)|[是为])?\s{0,4}[:：]?\s{0,4}"
    r"((?=[A-Za-z]{0,4}[ -]?\d)[A-Za-z0-9]{2,4}[ -]?[A-Za-z0-9]{2,4})\b"
)

# Place names never hold these; without the exclusion a match would swallow the words before it.
_NAME = "(?:(?![我你您他她的是在到为把请帮给改送寄住从去这那没跟吗呢吧啊想要能就店了])[一-鿿])"
# Atomic, so that a hostile text cannot make the search try every way to cut it into regions.
_REGION = (
    rf"(?>{_NAME}{{2,8}}?"
    "(?:特别行政区|自治区|自治州|自治县|开发区|新区|街道|社区|省|市|区|县|旗|镇|乡|村))"
)
_ROAD = (
    rf"(?:{_NAME}|[A-Za-z0-9]){{1,10}}?(?:大道|大街|胡同|公路|环路|路|街|巷|弄)"
    "(?:[东西南北中]{1,2}段?|[一二三四五六七八九十]{1,3}段)?"
)
_COUNT = r"[0-9A-Za-z一二三四五六七八九十百零〇-]{1,8}"
_UNIT = r"(?:号院|号楼|号|弄|栋|幢|座|单元|室|层|楼|房|户|院)"
_NUMBERS = rf"(?:\s{{0,4}}(?:附|第)?{_COUNT}{_UNIT})"
_ESTATE = (
    rf"(?:{_NAME}|[A-Za-z0-9]){{1,12}}?(?:小区|花园|家园|新村|公寓|大厦|广场|苑|城|府|庭|湾|里)"
)
_TAIL = rf"(?:{_NUMBERS}+(?:\s{{0,4}}{_ESTATE})?{_NUMBERS}*(?:\s{{0,4}}[0-9]{{3,4}}(?![0-9]))?)"
_CHINESE = (
    re.compile(rf"(?:{_REGION}\s{{0,4}}){{0,5}}{_ROAD}\s{{0,4}}{_TAIL}"),
    re.compile(rf"(?:{_REGION}\s{{0,4}}){{1,5}}(?:{_ESTATE}\s{{0,4}})?{_TAIL}"),
    re.compile(
        rf"{_ESTATE}\s{{0,4}}{_COUNT}(?:号楼|栋|幢|座|单元){_NUMBERS}*(?:\s{{0,4}}[0-9]{{3,4}}(?![0-9]))?"
    ),
    re.compile(
        rf"(?:地址|收货地)(?:改成|改为|改到|换成|是|为)?[:：]?\s{{0,4}}((?:{_REGION}\s{{0,4}}){{1,5}}[^\s，。！？；,!?;]{{0,24}})"
    ),
)

_SMALL = (
    "the|a|an|on|in|of|to|is|my|your|this|that|for|at|by|and|or|with|from|it|items?|days?|hours?|"
    "minutes?|miles?|km|pieces?|people|more|times?|weeks?|months?|years?|was|are|were|down|off|per|"
    "am|pm|any|about|into|near|car|out"
)
_MIDDLE = rf"(?:(?!(?:{_SMALL})\b)[^\W\d_][\w'’.-]{{0,30}}\s{{1,4}}){{1,4}}"
_ENGLISH_TYPE = (
    r"(?i:street|road|avenue|boulevard|lane|drive|terrace|crescent|highway|parkway|ave|blvd)\b\.?"
    r"|(?:St|Rd|Ln|Dr|Ct|Pl|Court|Place|Way|Square|Close)\b\.?"
)
_REST = (
    r"(?:[,\s]+(?i:apt|apartment|suite|unit|flat|floor|#)\.?\s{0,4}#?\w{1,6})?"
    r"(?:,\s{0,4}[A-Z][\w.'-]{0,30}(?:\s[A-Z][\w.'-]{0,30}){0,3}){0,2}"
    r"(?:,?\s{0,4}[A-Z]{2})?(?:\s{1,4}\d{4,6}(?:-\d{4})?)?"
)
_WESTERN = (
    re.compile(rf"\b\d{{1,6}}[A-Za-z]?\s{{1,4}}(?i:{_MIDDLE})(?:{_ENGLISH_TYPE}){_REST}"),
    re.compile(rf"(?i:\bp\.?\s?o\.?\s{{1,4}}box|\bPSC\s\d+,\s{{1,4}}box)\s{{1,4}}\d+{_REST}"),
    re.compile(
        r"(?i:\bcalle|\bc/|\bavenida|\bavda?\.?|\bplaza|\bpaseo|\bcamino|\bcarretera|\bronda|\btraves[ií]a"
        r"|\burbanizaci[oó]n|\brúa|\brua|\brue|\bvia|\bul\.)"
        r"\s{1,4}[^\W\d_][\w'’.ªº-]{0,30}(?:\s[^\W\d_][\w'’.ªº-]{0,30}){0,5}\s?,?\s{0,4}(?i:n[uú]mero|n[º°o]\.?)?\s{0,4}\d{1,5}"
        r"(?:\s{0,4},?\s{0,4}(?i:piso|puerta|portal|planta|escalera)?\s{0,4}\d{1,3}\s?[ºª°]?\s?[A-Z]?\b)?"
        r"(?:,?\s{1,4}\d{5})?(?:,?\s{1,4}[A-ZÁÉÍÓÚ][a-záéíóúñ]+)?"
    ),
    re.compile(
        r"\b\d{1,5}[A-Za-z]?(?:\s\d{1,5})?\s{1,4}(?i:" + _MIDDLE + r")\d{1,4}\s{0,4}[,\s]\s{0,4}"
        r"(?i:apt|suite|unit|flat)\.?\s{0,4}\w{1,6}(?:[,\s]+[^\W\d_][\w'-]{0,30}(?:\s\d{1,2})?){0,4}(?:\s{1,4}\d{4,6})?"
    ),
    re.compile(
        r"(?i:(?<!\[)\b(?:address(?:\s{1,4}(?:is|to|for|here))?|lives? at|located at|living at|"
        r"deliver(?:ed)? to|ship(?:ped)? (?:it )?to|sen[dt] (?:it )?to|taxi to|return to|"
        r"vivo en|direcci[oó]n(?: es)?|env[ií][ae]\w* a)\s{0,4}:?\s{0,4})"
        r"((?=[^\n.;?!]{0,40}\d)(?:\d|[A-ZÀ-Þ])[^\n;?!]{4,90}?)"
        r"(?=\s{0,4}(?:[;?!\n]|\.\s|\.?$| (?i:for|and|please|because|before|instead)\b))"
    ),
    re.compile(
        r"(?i:\b(?:zip(?:\s?code)?|post\s?code|código postal|邮编)"
        r"(?:\s{1,4}(?:is|es)|[是为])?\s{0,4}[:：]?\s{0,4})"
        r"(\d[\d -]{2,9}(?:\s?[A-Z]{2})?)\b"
    ),
)

_CAP = r"[A-ZÀ-ÖØ-ÞĀ-ŽΆ-ΩА-Я][\w'’.-]{0,30}"
# Street suffixes of USPS Publication 28, appendix C1, as written out after a house number.
_SUFFIX = (
    "Alley|Annex|Arcade|Avenue|Bayou|Bend|Bluff|Boulevard|Branch|Bridge|Brook|Burg|Bypass|Camp|"
    "Canyon|Cape|Causeway|Circle|Cliff|Common|Corner|Course|Court|Cove|Creek|Crescent|Crest|"
    "Crossing|Crossroad|Curve|Dale|Dam|Divide|Drive|Estate|Expressway|Extension|Fall|Ferry|Field|"
    "Flat|Ford|Forest|Forge|Fork|Fort|Freeway|Garden|Gateway|Glen|Green|Grove|Harbor|Haven|Heights|"
    "Highway|Hill|Hollow|Inlet|Island|Isle|Junction|Key|Knoll|Lake|Landing|Lane|Lock|Lodge|Loop|"
    "Mall|Manor|Meadow|Mews|Mill|Mission|Motorway|Mount|Mountain|Neck|Orchard|Oval|Overpass|Park|"
    "Parkway|Pass|Passage|Path|Pike|Pine|Place|Plain|Plaza|Point|Port|Prairie|Ramp|Ranch|Rapid|"
    "Ridge|River|Road|Route|Row|Rue|Run|Shoal|Shore|Skyway|Spring|Spur|Square|Station|Stream|Street|"
    "Str|Summit|Terrace|Trace|Track|Trail|Tunnel|Turnpike|Underpass|Union|Valley|Viaduct|View|"
    "Village|Ville|Vista|Walk|Wall|Way|Well"
)
_STREETS = (
    r"(?:[Ss]tra(?:ss|ß)e|gasse|allee|platz|gata|gatan|gade|vej|vegen|veien|katu|tie|laan|straat|"
    r"plein|utca|útja|ulice)"
)
_FOREIGN = (
    re.compile(rf"\b\d{{1,6}}[A-Za-z]?\s{{1,3}}(?:{_CAP}\s{{1,3}}){{1,4}}(?:{_SUFFIX})s?\b\.?"),
    re.compile(
        r"\b\d{3,6}\s{1,3}(?:[^\W\d_][\w'’.-]{2,30}\s{1,3}){1,4}\d{1,4}\b(?=\s{0,3}(?:,|\n|(?i:apt|suite)\b))"
    ),
    re.compile(rf"\b\d{{3,6}}\s{{1,3}}(?:{_CAP}\s{{1,3}}){{1,4}}\d{{1,4}}\b"),
    re.compile(
        r"\b\d{1,6}\s{1,3}(?:[^\W\d_][\w'’.-]{0,30}\s{1,3}){1,6}(?=(?i:apt|suite)\b\.?\s{0,3}\d)"
    ),
    re.compile(rf"\b\d{{1,6}}\s{{1,3}}(?:{_CAP}\s{{1,3}}){{1,3}}u\.\s{{1,3}}\d{{1,4}}\.?"),
    re.compile(rf"\b(?:{_CAP}\s{{1,3}}){{0,3}}\w{{2,30}}{_STREETS}\s{{1,3}}\d{{1,4}}\b"),
    re.compile(r"\b(?i:unit|psc)\s\d{2,6},?\s{1,3}(?i:box)\s\d{2,6}"),
    re.compile(rf"\bUS[NCS]{{2}}\s(?:{_CAP}\s?){{1,3}}(?=\n)"),
    re.compile(
        rf"\b(?i:the corner of)\s{{1,3}}(?:(?:\d{{1,6}}|{_CAP})\s{{1,3}}){{1,5}}(?i:and)"
        rf"(?:\s{{1,3}}{_CAP}|\s\d{{1,5}}){{1,4}}"
    ),
    re.compile(rf"(?:Λεωφόρος|Οδός|ul\.|ulica)\s{{1,3}}(?:{_CAP}\s{{1,3}}){{1,3}}\d{{1,4}}"),
)
# What goes on after a house number and a street: flat, town, region, country, postal code.
_GOES_ON = re.compile(
    r"[\s,?]{1,6}(?:"
    r"(?i:apt|apartment|suite|unit|flat|floor|box)\.?\s{0,3}#?\d{1,6}"
    r"|\d{4,6}(?:-\d{4})?(?![\d.])"
    rf"|(?:APO|DPO|FPO)\s(?:AA|AE|AP)\s\d{{5}}|nan\b"
    rf"|\(?(?!(?i:please|because|for|and|before|after|my|i|the|thanks?|call|is|it)\b){_CAP}\)?(?![\w:@])"
    r")"
)
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|"
    "NY|NC|ND|OH|OK|OR|PA|PR|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY"
)
_ZIP_WORD = (
    r"(?:zip(?:\s?codes?)?|post\s?codes?|postal\s?codes?|c[oó]digos?\spostal(?:es)?|postleitzahl|plz"
    r"|codes?\spostal|邮编|邮政编码)"
)
# Beside a word for one: as many countries write theirs, in any case.
_ANY_CODE = (
    r"\d{5}-\d{3,4}|\d{4}-\d{3}|\d{3}-\d{4}|\d{2}-\d{3}|\d{3} \d{2}|\d{5,6}"
    r"|\d{4}(?:\s?[A-Z]{2}|[a-z]{2})?|(?i:[a-z]{1,2}\d[a-z\d]?\s?\d[a-z]{2}|[a-z]\d[a-z]\s?\d[a-z]\d)"
)
_POSTCODES = (
    # British (BS 7666) and Canadian.
    re.compile(
        r"(?<![A-Za-z0-9])(?P<code>(?:[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}"
        r"|[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z]\s\d[ABCEGHJ-NPRSTV-Z]\d))(?![A-Za-z0-9])"
    ),
    re.compile(rf"\b(?:{_STATES}),?\s{{1,3}}(?P<code>\d{{5}}(?:-\d{{4}})?)(?![\d.,-]*\d)"),
    re.compile(r"(?<![\w.,-])(?P<code>\d{5}-\d{4})(?![\w-])"),
    re.compile(
        rf"(?:(?i:{_ZIP_WORD})[^\d\n]{{0,30}}?|\b(?:C\.?P\.?|CEP|CAP)\s{{0,3}}:?\s{{0,3}})"
        rf"(?<!\w)(?P<code>{_ANY_CODE})(?!\w)"
    ),
    re.compile(
        rf"(?<![\w.,-])(?P<code>\d{{5}}(?:-\d{{4}})?)(?=[^\w\n]{{1,3}}(?:\w+\s){{0,3}}(?i:{_ZIP_WORD})\b)"
    ),
)
_HOUSE_BEFORE = re.compile(r"(?:\b\d{1,6}\s{1,3}){1,2}$")
_MOST_PIECES = 9


def _whole_address(text: str, start: int, end: int) -> tuple[int, int]:
    """The found core with the house number before it and the lines of the address after it."""
    while end < len(text) and text[end].isdigit() and text[end - 1].isdigit():
        end += 1
    before = _HOUSE_BEFORE.search(text, max(0, start - 16), start)
    for _ in range(_MOST_PIECES):
        piece = _GOES_ON.match(text, end)
        if piece is None:
            break
        end = piece.end()
    return before.start() if before else start, end


def find_plates(text: str) -> Iterator[Span]:
    """Chinese plates (seven characters, eight for new-energy cars); others after a word for one."""
    for pattern, group in ((_PLATE, 0), (_PLATE_AFTER_WORD, 1)):
        for match in pattern.finditer(text):
            value = re.sub(r"[\s·•.-]", "", match[group]).upper()
            yield Span(match.start(group), match.end(group), "PLATE", value)


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Addresses down to a house number; a town or street alone is nobody's address."""
    for pattern in (*_FOREIGN, *_CHINESE, *_WESTERN):
        for match in pattern.finditer(text):
            start, end = match.span(1 if pattern.groups else 0)
            yield (start, end) if pattern in _CHINESE else _whole_address(text, start, end)


def find_postcodes(text: str) -> Iterator[Span]:
    """Postal codes: forms nothing else has, and five digits beside a word or a state for one."""
    for pattern in _POSTCODES:
        for match in pattern.finditer(text):
            value = re.sub(r"\W", "", match["code"]).upper()
            yield Span(match.start("code"), match.end("code"), "ADDRESS", value)
