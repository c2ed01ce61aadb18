"""Spoken Chinese dialects written down, turned into the Mandarin that everything else expects.

Function words and everyday words only; what a shop's customers say about its goods belongs in
the pack's lexicon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).parent / "data" / "dialects.tsv"
# Mandarin words that hold a character which a dialect uses otherwise.
_PROTECTED: Final = (
    "联系|关系|系统|系列|体系|系数|系带|食品|食物|零食|饮食|粮食|美食|食用|食堂|食材|食盐|饮料"
    "|饮品|饮用|饮水"
    "|平台|平时|平均|平安|平方|平常|水平|公平|和平|平板|平价|飞机|飞行|话费|电话|对话|话题|说话"
    "|客户|讲座"
    "|同意|同时|同样|同事|同学|合同|相同|共同|不同|一同|干净|净水|净化|洗净|点击|地点|一点|点钟"
    "|点餐|点单"
    "|点赞|点了|有点|重点|观点|特点|优点|缺点|晒衣|晒干|防晒|返回|返现|返修|知识|认识|识别|仲裁"
    "|野生|野外"
    "|个人|整个|个月|个性|一个|这个|那个|哪个|几个|两个|三个|每个|个|周末|期末|末端|老板|老师"
    "|老人|老年|老公"
    "|请勿|切勿|勿扰|边缘|旁边|身边|这边|那边|左边|右边|无法|无线|无效|无论|先后|先进|落地|书架"
    "|货架|下架|黎明|地址|好吗|好吧"
    "|脱鞋|脱落|摆脱|浪费|老婆|老家|惊喜|企业|强劲|惊讶|辣椒|辣的|麻辣|搭配|找寻|寻找|拨打|伐木"
    "|伊朗|埋怨"
)
_CLOCK: Final = r"[0-9零一二三四五六七八九十两半几]点"


@dataclass(frozen=True, slots=True)
class _Dialect:
    certain: re.Pattern[str]
    everything: re.Pattern[str]
    standard: dict[str, str]


@cache
def _dialects() -> tuple[_Dialect, ...]:
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            dialect, condition, written, standard = line.split("\t")
            tables.setdefault(dialect, {}).setdefault(condition, {})[written] = standard
    found = []
    for table in tables.values():
        certain = table["any"]
        marked = table.get("marked", {})
        protected = f"({_PROTECTED}|{_CLOCK})|"
        found.append(
            _Dialect(
                certain=re.compile(_alternatives(certain)),
                everything=re.compile(protected + _alternatives({**certain, **marked})),
                standard={**marked, **certain},
            )
        )
    return tuple(found)


def _alternatives(words: dict[str, str]) -> str:
    ordered = sorted(words, key=len, reverse=True)
    return "(?:" + "|".join(re.escape(word) for word in ordered) + ")"


def to_mandarin(text: str) -> str:
    """Simplified Chinese with dialect words replaced; Mandarin passes through unchanged."""
    for dialect in _dialects():
        if not dialect.certain.search(text):
            continue
        # One certain word marks the sentence; only then may words that Mandarin shares change.
        marked = dialect.everything

        def swap(match: re.Match[str], table: dict[str, str] = dialect.standard) -> str:
            return match[0] if match[1] else table[match[0]]

        text = marked.sub(swap, text)
    return text
