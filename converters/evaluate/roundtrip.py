"""Whether a model still says the same after it became GGUF: greedy replies, letter by letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from converters.errors import OptionError
from converters.evaluate.engines import check_model, engine_of
from converters.evaluate.questions import Question, read_questions
from converters.evaluate.replies import replies_of
from converters.progress import Report, silent

PROMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two replies to one prompt part; ``same`` characters are equal."""

    line: int
    same: int
    original: str
    converted: str


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How many replies are equal, and those that are not."""

    original: str
    converted: str
    prompts: int
    equal: int
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def roundtrip(
    folder: Path,
    model: Path,
    prompts: Path,
    *,
    count: int = PROMPTS,
    max_tokens: int = 64,
    exact: bool = False,
    threads: int = 2,
    progress: Report = silent,
) -> RoundTrip:
    """Ask the Hugging Face model in ``folder`` (PyTorch, 32 bits) and ``model`` (the runtime's
    llama.cpp) the same, both taking the likeliest token each time as the runtime does.

    Args:
        folder: the original.
        model: the GGUF file made from it.
        prompts: conversations in the runtime's form; replies in them are not looked at.
        count: how many prompts.
        max_tokens: of a reply.
        exact: llama.cpp keeps its key-value cache in 32 bits, which no device does.
        threads: of both engines.
        progress: told how far it is.

    Raises:
        ModelFileError: one of them is no sound model.
        OptionError: they are not a folder and a GGUF file.
        DatasetError: the prompts are broken.
        ConversionError: an engine failed.
    """
    check_model(folder)
    check_model(model)
    if engine_of(folder) != "torch" or engine_of(model) != "llama":
        raise OptionError("A round trip is held between a Hugging Face folder and a GGUF file.")
    questions = read_questions(prompts, count)
    replies = [
        replies_of(
            path,
            questions,
            max_tokens=max_tokens,
            exact=exact,
            threads=threads,
            progress=progress,
        )
        for path in (folder, model)
    ]
    differences = _differences(questions, *replies)
    return RoundTrip(
        folder.name, model.name, len(questions), len(questions) - len(differences), differences
    )


def _differences(
    questions: Sequence[Question], originals: Sequence[str], converted: Sequence[str]
) -> tuple[Difference, ...]:
    return tuple(
        Difference(question.line, _shared(one, other), one, other)
        for question, one, other in zip(questions, originals, converted, strict=True)
        if one != other
    )


def _shared(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
