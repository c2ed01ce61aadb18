"""Tokens for FTS5 that work for scripts without spaces.

Runs of Han, kana, Hangul and Thai become overlapping character bigrams (a single character stays
itself), everything else becomes lower-cased words. FTS5's ``unicode61`` then indexes the tokens as
they are. Bigrams are the standard choice for CJK retrieval without a segmenter
(Nie, Gao, Zhang & Zhou, "On the use of words and n-grams for Chinese information retrieval", 2000).
"""

from __future__ import annotations

import re
import unicodedata

_UNSPACED = r"\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af\u0e00-\u0e7f"
_RUN = re.compile(rf"(?P<cjk>[{_UNSPACED}]+)|(?P<word>[^\W_{_UNSPACED}]+)")

_STOP_WORDS = """
a an the is are was do does did can could i you my your me we it to of in on for and or
what how please el la los las un una de en que es mi tu su por para con y o se lo 请问 什么 怎么
你们 我们 可以 一下 这个 那个
"""
_STOP = frozenset(_STOP_WORDS.split())

MAX_TOKENS = 256


def tokens(text: str) -> list[str]:
    """The index tokens of ``text``, in order, at most :data:`MAX_TOKENS` × 8 of them."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = []
    for match in _RUN.finditer(folded):
        run = match.group()
        if match.lastgroup == "word" or len(run) == 1:
            found.append(run)
        else:
            found.extend(run[i : i + 2] for i in range(len(run) - 1))
        if len(found) >= MAX_TOKENS * 8:
            break
    return found


def query_tokens(text: str) -> list[str]:
    """Distinct content tokens of a query, at most :data:`MAX_TOKENS`."""
    distinct = dict.fromkeys(token for token in tokens(text) if token not in _STOP)
    return list(distinct)[:MAX_TOKENS]


def match_expression(query: list[str]) -> str:
    """An FTS5 MATCH expression that accepts any of the tokens."""
    return " OR ".join(f'"{token}"' for token in query)
