"""Whether replies keep to the facts they were given, and to what a shop may say.

A reply is faithful when the guard finds no claim in it that the facts do not support, when it
states every number of the reply hoped for, grants and refuses the same, and names at least six
tenths of the words that the hoped-for reply takes from the facts. Where the facts do not answer, it
is faithful when it does not tell them: few of its words are theirs. Compliance is judged by the
pack's own rules, whatever else is wrong with a reply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from converters.evaluate.metrics import share
from converters.evaluate.pages import table
from converters.evaluate.questions import Question
from edge_runtime.guard import Guard
from edge_runtime.guard.claims import Evidence
from edge_runtime.guard.numbers import quantities
from edge_runtime.packs.schema import Lexicon

_CLAIM: Final = "claim:"
_KEY_SHARE: Final = 0.6
_TOLD_SHARE: Final = 0.42
"""Of a reply's words, those of the facts: synthetic replies that tell facts have .43 and more,
those that say that nothing is known .40 at most."""
_SENTENCES: Final = re.compile(r"[^。！？!?\n.]+(?:\.(?=\S)[^。！？!?\n.]*)*")
_CJK_RUN: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+")
_WORD: Final = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]{4,}")
_STEM: Final = 5
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reply and what is wrong with it; ``faults`` and ``misses`` are empty when all is well.

    ``faults`` are against the facts (``unsupported``, ``numbers``, ``yes_no``, ``key_facts``,
    ``beside_the_point``, ``silent``), ``misses`` the compliance rules that it breaks.
    """

    question: Question
    reply: str
    faults: tuple[str, ...]
    misses: tuple[str, ...]


def judge(
    questions: Sequence[Question], replies: Sequence[str], lexicon: Lexicon
) -> tuple[Outcome, ...]:
    """Hold each reply against its question's facts, its hoped-for reply, and the pack's rules."""
    guard = Guard(lexicon)
    rules = {rule.id for rule in lexicon.compliance}
    return tuple(
        Outcome(question, reply, _faults(guard, question, reply), _misses(guard, rules, reply))
        for question, reply in zip(questions, replies, strict=True)
    )


def task_metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares over all replies, and by language after a dot where there are several."""
    found = _metrics(outcomes)
    languages = sorted({outcome.question.language for outcome in outcomes} - {""})
    for language in languages if len(languages) > 1 else ():
        of_language = [item for item in outcomes if item.question.language == language]
        found |= {f"{name}.{language}": value for name, value in _metrics(of_language).items()}
    return found


def _metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {
        "answer_faithfulness": share([not outcome.faults for outcome in outcomes]),
        "answer_supported": share(["unsupported" not in outcome.faults for outcome in outcomes]),
        "compliance_misses": float(sum(bool(outcome.misses) for outcome in outcomes)),
        "replies": float(len(outcomes)),
    }


def _faults(guard: Guard, question: Question, reply: str) -> tuple[str, ...]:
    if not reply.strip():
        return ("silent",)
    facts, asked, expected = question.prompt.context, question.prompt.question, question.expected
    found = {
        "unsupported": _unsupported(guard, question, reply),
        "numbers": not _numbers(expected) <= _numbers(reply) | _numbers(asked),
        "yes_no": bool(expected) and _contradicts(expected, reply, asked),
        "key_facts": question.answered and not _names_the_facts(expected, reply, facts, asked),
        "beside_the_point": not question.answered and _tells_the_facts(reply, facts, asked),
    }
    return tuple(name for name, wrong in found.items() if wrong)


def _unsupported(guard: Guard, question: Question, reply: str) -> bool:
    stream = guard.open(
        language=question.language,
        allowed=[question.prompt.question],
        evidence=[question.prompt.context],
    )
    stream.feed(reply)
    stream.finish()
    return any(label.startswith(_CLAIM) for label in stream.blocked)


def _misses(guard: Guard, rules: set[str], reply: str) -> tuple[str, ...]:
    stream = guard.open(language="", allowed=[reply], evidence=None)
    stream.feed(reply)
    stream.finish()
    return tuple(label for label in stream.blocked if label in rules)


def _numbers(text: str) -> frozenset[object]:
    return frozenset(quantity.raw for quantity in quantities(text))


def _contradicts(expected: str, reply: str, asked: str) -> bool:
    """Whether one of them grants what the other does not."""
    return _grants_more(reply, expected, asked) or _grants_more(expected, reply, asked)


def _grants_more(text: str, than: str, asked: str) -> bool:
    evidence = Evidence([than], [asked, text])
    sentences = _SENTENCES.findall(text)
    return any(evidence.unsupported(sentence) == "permission" for sentence in sentences)


def _names_the_facts(expected: str, reply: str, facts: str, asked: str) -> bool:
    wanted = (_words(expected) & _words(facts)) - _words(asked)
    return not wanted or len(wanted & _words(reply)) >= _KEY_SHARE * len(wanted)


def _tells_the_facts(reply: str, facts: str, asked: str) -> bool:
    own = _words(reply) - _words(asked)
    return bool(own) and len(own & _words(facts)) >= _TOLD_SHARE * len(own)


def _words(text: str) -> frozenset[str]:
    """Beginnings of words of four letters and more, and pairs of characters of unspaced scripts."""
    stems = {word[:_STEM] for word in _WORD.findall(text.casefold())}
    pairs = {run[i : i + 2] for run in _CJK_RUN.findall(text) for i in range(len(run) - 1)}
    return frozenset(stems | pairs)


def worst(outcomes: Sequence[Outcome], count: int) -> list[Mapping[str, object]]:
    """The first ``count`` replies that something is wrong with, for a reader."""
    wrong = [outcome for outcome in outcomes if outcome.faults or outcome.misses]
    return [
        {
            "line": outcome.question.line,
            "language": outcome.question.language,
            "question": outcome.question.prompt.question,
            "expected": outcome.question.expected,
            "reply": outcome.reply,
            "faults": ", ".join([*outcome.faults, *outcome.misses]),
        }
        for outcome in wrong[:count]
    ]


def wrong_table(wrong: Sequence[Mapping[str, object]]) -> list[str]:
    """What :func:`worst` found as a Markdown table."""
    head = ("question", "hoped for", "reply", "what is wrong")
    keys = ("question", "expected", "reply", "faults")
    return table(head, [[str(item[key]) for key in keys] for item in wrong], numbers=False)


def wrong_replies(outcomes: Sequence[Outcome]) -> str:
    """The end of a card's page: what was wrong, empty when nothing was."""
    wrong = worst(outcomes, _SHOWN)
    if not wrong:
        return ""
    return "\n".join(["", "## Replies with something wrong", "", *wrong_table(wrong)]) + "\n"
