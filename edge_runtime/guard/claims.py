"""Claims that a drafted reply may not make: what the evidence does not say.

A language model told "food cannot be returned" still says that bread can. Each fragment of the
draft (up to the next comma or full stop) is released only if every number in it stands in the
evidence or in the customer's question, and every permission it grants is granted there too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.guard.numbers import Quantity, quantities
from edge_runtime.guard.openings import harmless_opening

MAX_FRAGMENT = 120
"""Characters after which a fragment without punctuation is judged at the next space or letter."""

_CLOSERS = "。！？；，、!?;\n"
_CLOSERS_BEFORE_SPACE = ".,:"
_SENTENCE_END = re.compile(r"[。！？!?\n]|(?<!\d)\.|\.(?!\d)")


@dataclass(frozen=True, slots=True)
class _Concept:
    """A favour a shop grants or refuses; ``grants`` and ``refuses`` find it in a sentence."""

    grants: re.Pattern[str]
    refuses: re.Pattern[str]

    def granted_in(self, sentence: str) -> bool:
        """Whether ``sentence`` grants it somewhere besides where it refuses it."""
        return bool(self.grants.search(self.refuses.sub(" ", sentence)))


def _verbs(zh: str, en: str, es: str) -> _Concept:
    return _Concept(
        re.compile(
            rf"(?:可以?|能够?|支持|允许|享受?|随时|无理由|给您|帮您|为您).{{0,8}}(?:{zh})|包(?:{zh})"
            r"|\b(?:can|may|could|will|eligible|able|accept|allow(?:ed)?|entitled)\b"
            rf".{{0,40}}\b(?:{en})|\b(?:{en})\w*.{{0,30}}\b(?:accepted|allowed|possible|available)"
            r"|\b(?:puede[ns]?|podemos|podrá|aceptamos|permit\w+|admit\w+)\b"
            rf".{{0,40}}\b(?:{es})",
            re.IGNORECASE,
        ),
        re.compile(
            r"(?:不(?:能|可以?|支持|予|接受|得|给|允许|会)|无法|没法|禁止|谢绝|概不|恕不)"
            rf".{{0,6}}(?:{zh})\w?|不(?:{zh})"
            r"|(?:\bcannot|n't|n’t|\bnot|\bnever|\bno|\bunable to) (?:be |\w+ ){0,2}"
            rf"(?:{en})\w*|\bnon-?(?:{en})\w*"
            rf"|\b(?:{en})\w* (?:is|are|will be) (?:not|never)\b(?: \w+)?"
            r"|\bno (?:(?:se|le|lo|la|los|las|te) )?"
            r"(?:puede[ns]?|podemos|aceptamos|admit\w+|permit\w+)"
            rf".{{0,30}}\b(?:{es})\w*|\bno (?:se )?(?:{es})\w*",
            re.IGNORECASE,
        ),
    )


def _adjectives(words: str, refused: str) -> _Concept:
    return _Concept(re.compile(words, re.IGNORECASE), re.compile(refused, re.IGNORECASE))


_CONCEPTS = (
    _verbs("退", "return|send.{0,12}back|take.{0,12}back", "devol"),
    _verbs("换", "exchang|swap|replac", "cambi"),
    _verbs("退款|退钱|返还", "refund|money back", "reembols"),
    _verbs("取消", "cancel", "cancel|anul"),
    _adjectives(
        r"免费|不收(?:取)?费|不要钱|包邮|免运费|赠送|\bfree\b(?! to)|free of charge"
        r"|no (?:extra )?c(?:ost|harge)"
        r"|\bgratis\b|gratuit[oa]s?|sin (?:coste|costo|cargo)",
        r"不(?:是)?免费|收费|自付|\bnot free\b|at (?:your|the customer's) (?:own )?cost"
        r"|no es gratis",
    ),
    _adjectives(
        r"(?:在|可以?|能|享受?|终身|全国)(?:.{0,4})(?:保修|质保|联保)"
        r"|(?:is|are|be|fully) covered|lifetime warranty"
        r"|cubiert[oa]s? por la garantía|garantía de por vida",
        r"不(?:在|予|属于)?.{0,4}(?:保修|质保)|not covered|not (?:under|in) warranty"
        r"|no .{0,20}garantía",
    ),
    _adjectives(
        r"百分之?百|保证(?:能|会|可以)|一定(?:能|会|可以)|绝对|\bguaranteed?\b"
        r"|\b100 ?%|garantizad[oa]s?|sin duda",
        r"不(?:能)?保证|cannot guarantee|no garantiza",
    ),
)


class Evidence:
    """What the evidence and the question of a reply state."""

    def __init__(self, evidence: Sequence[str], question: Sequence[str]) -> None:
        stated = [quantity for text in (*evidence, *question) for quantity in quantities(text)]
        self._stated = frozenset(stated)
        self._numbers = frozenset(quantity.raw for quantity in stated)
        self._unitless = frozenset(quantity.raw for quantity in stated if not quantity.family)
        self._sentences = [part for text in evidence for part in _sentences(text)]
        self._question = " ".join(question)

    def unsupported(self, fragment: str) -> str | None:
        """The kind of claim in ``fragment`` that nothing supports: number or permission."""
        if any(not self._states(quantity) for quantity in quantities(fragment)):
            return "number"
        if fragment.rstrip().endswith(("?", "？")):
            return None
        granted = (concept for concept in _CONCEPTS if concept.granted_in(fragment))
        if any(not self._grants(each) or self._refuses(each, fragment) for each in granted):
            return "permission"
        return None

    def _grants(self, concept: _Concept) -> bool:
        return any(concept.granted_in(sentence) for sentence in self._sentences)

    def _states(self, quantity: Quantity) -> bool:
        if not quantity.family:
            return quantity.raw in self._numbers
        return quantity in self._stated or quantity.raw in self._unitless

    def _refuses(self, concept: _Concept, fragment: str) -> bool:
        """Whether a refusal in the evidence speaks of the goods that the fragment speaks of."""
        refusals = [sentence for sentence in self._sentences if concept.refuses.search(sentence)]
        if not refusals:
            return False
        goods = _content(fragment) | _content(self._question)
        return any(goods & _content(refusal) for refusal in refusals)


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


_COMMON = re.compile(
    r"\b(?:can|could|will|would|your|the|this|that|with|within|from|have|been|back|about|what|which"
    r"|when|there|them|they|also|please|free|returns?|returned|returnable|refund(?:ed|s)?"
    r"|exchange[ds]?|cancel|items?|products?|goods|stores?|shop|receipt|orders?|days?|original"
    r"|you|are|not|may|and|for|our|was|has|yes|any|all|sorry|los|las|con|una|por|que|del|sin|hay"
    r"|pueden?|podemos|devolver|cambiar|productos?|para|est[ae])\b"
)
_COMMON_CHINESE = re.compile(
    r"可以|能够|不能|不可|不支持|支持|退货|退换|换货|退款|商品|产品|您|我们|我|请|的|了|吗|呢|是|在|有|和"
    r"|或|及|等|购买|订单|小票|原|上周|天内"
)


def _content(text: str) -> frozenset[str]:
    """Words, and pairs of Chinese characters, that name goods rather than the policy itself."""
    words = re.findall(r"[a-záéíóúñ]{3,}", _COMMON.sub(" ", text.lower()))
    singular = {word.removesuffix("s") for word in words}
    pairs = {
        run[i : i + 2]
        for run in re.findall(r"[\u4e00-\u9fff]+", _COMMON_CHINESE.sub(" ", text))
        for i in range(len(run) - 1)
    }
    return frozenset(singular | pairs)


class ClaimStream:
    """One drafted reply; fragments are released once judged.

    The opening of a fragment that can be no part of a claim is released at once: the customer
    need not wait for the first comma.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._buffer = ""
        self._released = 0
        self.fired = ""
        """``claim:<kind>`` once something unsupported was met; nothing is released after it."""

    def feed(self, delta: str) -> str:
        """Take more text; return the supported fragments and the harmless opening of the next."""
        released: list[str] = []
        self._buffer += delta
        while not self.fired and (end := _fragment_end(self._buffer)):
            released.append(self._judge(end))
        if not self.fired:
            released.append(self._up_to(harmless_opening(self._buffer)))
        return "".join(released)

    def finish(self) -> str:
        """The draft is complete: judge what is left."""
        return self._judge(len(self._buffer))

    def _judge(self, end: int) -> str:
        if self.fired:
            return ""
        kind = self._evidence.unsupported(self._buffer[:end])
        if kind is not None:
            self.fired = f"claim:{kind}"
            return self._up_to(harmless_opening(self._buffer[:end]))
        released = self._up_to(end)
        self._buffer, self._released = self._buffer[end:], 0
        return released

    def _up_to(self, end: int) -> str:
        start, self._released = self._released, max(self._released, end)
        return self._buffer[start:end]


def _fragment_end(text: str) -> int:
    """End of the first complete fragment, 0 while it is still open."""
    for index, char in enumerate(text):
        if char in _CLOSERS:
            return index + 1
        if char in _CLOSERS_BEFORE_SPACE and text[index + 1 : index + 2].isspace():
            return index + 1
        if index >= MAX_FRAGMENT and not char.isalnum():
            return index + 1
        if index >= 2 * MAX_FRAGMENT:
            return index + 1
    return 0
