"""Delivery addresses and names of persons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.turn import Entity

_HAN: Final = r"[\u4e00-\u9fffA-Za-z0-9]"
_ZH_PART: Final = (
    r"省|自治区|市|区|县|镇|乡|村|街道|大街|大道|路|街|巷|弄|胡同|小区|花园|大厦|广场|公寓|号院"
    r"|号楼|号|栋|幢"
    r"|座|单元|层|楼|室|苑|城|园"
)
# A line of an address: at least two parts such as 朝阳区 and 建国路, ending on one.
_ZH_ADDRESS: Final = re.compile(
    rf"(?:{_HAN}{{1,12}}?(?:{_ZH_PART})[ ,]?){{2,12}}(?:\d{{1,5}}(?:号|室|楼|层|栋)?)?"
)
_ZH_CUE: Final = re.compile(
    rf"(?:地址(?:是|为|改成|改到|改为|换成)?|改到|寄到|送到|送去|发到|配送到|邮寄到|寄往|住在"
    rf"|家住|搬到)[:\s]*"
    rf"(?P<place>{_HAN}[{_HAN[1:-1]} -]{{2,60}}?)(?=[,。;!?、吧吗呢]|谢谢|可以|行不行|好吗|了|$)"
)
_ZH_VERBS: Final = re.compile(
    r"^.*(?:地址(?:是|为|改成|改到|改为|换成)?|改到|寄到|送到|送去|发到|配送到|邮寄到|寄往|住在"
    r"|家住|搬到|我在|帮我|请|到)"
)
_ZH_PLACE: Final = re.compile(rf"(?:{_ZH_PART})")
_ROADS: Final = (
    r"street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|way|court|ct|place|pl|square|sq"
    r"|terrace|highway|hwy|parkway|close|crescent|row"
)
_UNIT: Final = r"(?:,? (?:apt|apartment|unit|suite|flat|floor|room|#) ?\.? ?\w{1,6})?"
_EN_ADDRESS: Final = re.compile(
    rf"(?<!\w)\d{{1,6}}[A-Za-z]? (?:[A-Za-z0-9.'-]+ ){{0,4}}?(?i:(?:{_ROADS})\b\.?{_UNIT})"
    r"(?:, [A-Z][\w.'-]*(?: [A-Z][\w.'-]*){0,2}){0,3}(?:,? [A-Z]{2})?(?:,? \d{5}(?:-\d{4})?)?"
)
_EN_CUE: Final = re.compile(
    r"(?:deliver(?:ed|y)?(?: it| this| them)? to|ship(?:ped)?(?: it| this| them)? to|send(?: it"
    r"| this| them)? to"
    r"|(?:new |delivery |shipping |my )?address (?:is|to|should be)|change (?:it|the address"
    r"|my address) to"
    r"|i live (?:at|on|in))[: ]+(?P<place>(?=[^,.;!?]*(?:\d|[A-Z]))[^;!?]{4,90}?)"
    r"(?=[.;!?]|,? (?:please|thanks|instead|and )|$)",
    re.IGNORECASE,
)
_ES_ADDRESS: Final = re.compile(
    r"(?<!\w)(?i:(?:calle|c/|avenida|avda\.?|av\.|paseo|plaza|carrera|camino|carretera|ronda"
    r"|travesía)"
    r" (?:(?:de|del|la|las|los|el) )*[\wáéíóúñü.'-]+(?: (?!y |por |para |a "
    r"|gracias)[\wáéíóúñü.'-]+){0,4}?"
    r"(?:,? (?:n[ºo°.]? ?"
    r"|número )?\d{1,5}(?:[ -]?[a-zA-Zº°]{1,2}(?!\w))?)(?:, ?\d{1,2}[ºª°o]? ?\w?(?!\w))?)"
    r"(?:, ?(?:\d{5} )?[A-ZÁÉÍÓÚÑ][\wáéíóúñ]+)?"
)
_ZH_SURNAMES: Final = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
    "余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文欧"
)
_ZH_PERSON: Final = re.compile(
    rf"(?:我叫|我的名字(?:是|叫)|姓名(?:是|叫|[:\s])|收件人(?:是|叫|改成|[:\s])|我是|联系人(?:是"
    rf"|[:\s]))\s*"
    rf"(?P<name>(?:欧阳|司马|上官|诸葛|[{_ZH_SURNAMES}])[\u4e00-\u9fff]{{1,2}}?)"
    r"(?=[,。;!?、\s的\d]|电话|手机|先生|女士|小姐|$)"
)
_ZH_TITLED: Final = re.compile(
    rf"(?:我姓(?P<surname>[{_ZH_SURNAMES}]))"
    rf"|(?P<titled>[{_ZH_SURNAMES}][\u4e00-\u9fff]{{0,2}}?)(?:先生|女士|小姐)"
)
_CAPITAL: Final = r"[A-ZÀ-Þ][\w'’-]+"
_PERSON: Final = re.compile(
    r"(?<!\w)(?:(?i:my name is|my name's|name is|i am called|this is|me llamo|mi nombre es|soy"
    r"|ich heiße"
    r"|je m'appelle|mi chiamo|i'm|i am))[: ]+"
    rf"(?P<name>{_CAPITAL}(?: (?:de |la |van |von )?{_CAPITAL}){{0,3}})"
)
_SAID: Final = re.compile(
    r"(?<!\w)(?:my name is|my name's|me llamo|mi nombre es|ich heiße|je m'appelle)[: ]+"
    r"(?P<name>[a-zà-ÿ'’-]{2,20}(?: (?!and |y |my |mi |the |i |und |et )[a-zà-ÿ'’-]{2,20}){0,2})"
    r"(?= and | y |[,.;!?]|$)",
    re.IGNORECASE,
)


def addresses(text: str, context: Context) -> Iterator[Entity]:
    """Postal addresses by their shape, and what follows "deliver to", "地址改到"."""
    for match in _ZH_ADDRESS.finditer(text):
        start, end = match.span()
        cue = _ZH_VERBS.match(text[start:end])
        start += cue.end() if cue else 0
        if len(_ZH_PLACE.findall(text[start:end])) >= 2:
            yield entity("address", text[start:end].strip(" ,"), text, start, end)
    for pattern in (_ZH_CUE, _EN_CUE):
        for match in pattern.finditer(text):
            place = match["place"].strip(" ,")
            if pattern is _EN_CUE or _ZH_PLACE.search(place):
                start = match.start("place")
                yield entity(
                    "address", place, text, start, start + len(match["place"].rstrip(" ,"))
                )
    for pattern in (_EN_ADDRESS, _ES_ADDRESS):
        for match in pattern.finditer(text):
            yield entity("address", match[0].strip(" ,"), text, *match.span())


def persons(text: str, context: Context) -> Iterator[Entity]:
    """Names that are introduced as such; a capital letter alone is no evidence."""
    for pattern in (_ZH_PERSON, _PERSON, _SAID):
        for match in pattern.finditer(text):
            yield entity("person", match["name"], text, *match.span("name"))
    for match in _ZH_TITLED.finditer(text):
        group = "surname" if match["surname"] else "titled"
        yield entity("person", match[group], text, *match.span(group))
