"""Questions with the facts they are to be answered from, and the answers hoped for.

Conversations as the runtime has them: JSON Lines of ``{"messages": […], "lang"}`` whose system
message is the rules' line and below it the facts (``edge_runtime/generation/prompts.py``), followed
by the customer's question and the reply. ``"answered": false`` says that the facts do not answer
and that the reply hoped for says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.errors import DatasetError
from converters.jsonlines import json_lines
from edge_runtime.generation import Prompt

_MAX_ROWS: Final = 100_000
_MAX_CHARS: Final = 20_000
_SHAPE: Final = (
    'Each line looks like {"lang": "en", "messages": [{"role": "system", "content": "You are …'
    '\\nFacts:\\nReturns：…"}, {"role": "user", "content": "…"}, {"role": "assistant", …}]}.'
)


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the data; ``expected`` is empty where it has no reply, ``line`` is 1-based.

    ``answered``: whether the facts answer it.
    """

    line: int
    language: str
    prompt: Prompt
    expected: str
    answered: bool = True


def read_questions(path: Path, limit: int) -> tuple[Question, ...]:
    """At most ``limit`` questions, as many of each language as there are, in the file's order.

    Raises:
        DatasetError: the file is missing or empty, or a line is wrong; names file and line.
    """
    found = tuple(
        _question(value, path, number)
        for number, value in json_lines(path, most=_MAX_ROWS, hint=_SHAPE)
    )
    if not found:
        raise DatasetError("The file holds no conversations.", file=path, hint=_SHAPE)
    return balanced(found, limit)


def balanced(questions: Sequence[Question], limit: int) -> tuple[Question, ...]:
    """At most ``limit`` of them, taken from the languages in turn, spread over the file."""
    by_language: dict[str, list[Question]] = {}
    for question in questions:
        by_language.setdefault(question.language, []).append(question)
    share = -(-limit // len(by_language))
    spread = [_spread(of_language, share) for of_language in by_language.values()]
    turns = [question for turn in range(share) for row in spread for question in row[turn:][:1]]
    return tuple(sorted(turns[:limit], key=lambda question: question.line))


def _spread(questions: Sequence[Question], count: int) -> list[Question]:
    # Neighbouring lines often ask about one passage.
    if len(questions) <= count:
        return list(questions)
    return [questions[place * len(questions) // count] for place in range(count)]


def _question(value: Any, path: Path, number: int) -> Question:
    def wrong(message: str) -> DatasetError:
        return DatasetError(message, file=path, line=number, hint=_SHAPE)

    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        raise wrong("The line has no 'messages'.")
    said = [_content(message) for message in messages]
    roles = [role for role, _ in said]
    if roles[:2] != ["system", "user"] or roles[2:] not in ([], ["assistant"]):
        raise wrong("It is not rules and facts, one question, and one reply.")
    rules, _, facts = said[0][1].partition("\n")
    if not facts.strip() or not said[1][1].strip():
        raise wrong("The system message has no facts below its first line.")
    language = value.get("lang", "")
    if not isinstance(language, str) or len(language) > 3:
        raise wrong("'lang' is no language code.")
    answered = value.get("answered", True)
    if not isinstance(answered, bool):
        raise wrong("'answered' is neither true nor false.")
    prompt = Prompt(rules, facts, said[1][1])
    return Question(number, language, prompt, said[2][1] if said[2:] else "", answered)


def _content(message: object) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        return "", ""
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not isinstance(content, str) or len(content) > _MAX_CHARS:
        return "", ""
    return role, content
