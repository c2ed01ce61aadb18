"""Sentences reworded by a language model, and which of its rewordings can be believed.

A small model drifts: it answers instead of rewording, changes the language, drops the order number.
What it wrote is only taken when the entities stand in it letter by letter, the language is the
same, and it is neither the same sentence nor a very different one.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rapidfuzz import fuzz, process

from converters.children import run_module
from converters.distill.conversations import Message
from converters.progress import Report
from converters.synth.labelled import Seeds
from converters.synth.likeness import NEAR, Exclusion, plain
from converters.synth.lines import Line
from converters.synth.pieces import Span, Utterance, cut, entities_of
from converters.synth.seen import Seen
from edge_runtime.files import write_atomic
from edge_runtime.generation.prompts import LANGUAGE_NAMES
from edge_runtime.nlu.language import detect_language

_CHILD: Final = "converters.distill.teacher_llama"
_MAX_PROMPT: Final = 256
_MAX_REPLY: Final = 64
_NAMES: Final[Mapping[str, str]] = {"zh": "Chinese", "en": "English", "es": "Spanish"}
_RULES: Final = (
    "You put what customers say to a shop in other words, in {language}. You never answer them: "
    "a question stays a question, a wish stays a wish.{keep}"
)
_SHOWN: Final = 3
"""Examples that the model is shown: pairs of ways to say one phrase."""

_KEEP: Final = " Keep these words exactly: {words}."
_FAR: Final = 45.0
"""Likeness, 0 to 100, below which a rewording probably says something else."""
_LENGTHS: Final = (0.4, 2.2)
_SHORT: Final = 6
_WRAPPING: Final = "\"'“”‘’「」『』«» "
_LIKEST: Final = 5
_NOTE: Final = re.compile(r"[:：]\s|[*#<>{}\[\]]|\n")


@dataclass(frozen=True, slots=True)
class Paraphraser:
    """Rewords with ``model``, whose hash is ``digest``, in processes of their own.

    ``notes`` is a folder where what was written so far is kept; a killed run's next run goes on
    there.
    """

    model: Path
    digest: str
    notes: Path
    exclusion: Exclusion
    count: int
    seed: int
    threads: int
    progress: Report

    def __call__(self, cells: Seeds, seen: Seen) -> dict[tuple[str, str], list[Line]]:
        """More clean lines for the cells.

        Raises:
            ConversionError: the model cannot be loaded or crashed.
        """
        chosen = list(self._chosen(cells))
        shown = _Shown(cells, self.seed)
        written = self._written([_prompt(line, shown) for line in chosen])
        labels = _Labels(cells)
        found: dict[tuple[str, str], list[Line]] = {}
        hits = self.exclusion.hits(written)
        for line, text, hit in zip(chosen, written, hits, strict=True):
            made, reason = reworded(line, text)
            if made is not None and not labels.agree(line, bare(text)):
                made, reason = None, "other_intent"
            if made is None or hit:
                seen.dropped[f"paraphrase_{reason or 'excluded'}"] += 1
            elif seen.add(bare(text), line.intent):
                more = replace(line.changed(made, "paraphrase"), model=self.digest[:12])
                found.setdefault((line.language, line.intent), []).append(more)
        return found

    def _chosen(self, cells: Seeds) -> Iterator[Line]:
        """``count`` lines, cell by cell in turn, so that every cell gets its share."""
        rng = random.Random(f"{self.seed}:paraphrases")
        orders = [rng.sample(list(lines), len(lines)) for lines in cells.values() if lines]
        rounds = max((len(order) for order in orders), default=0)
        turns = (order[turn] for turn in range(rounds) for order in orders if turn < len(order))
        for _, line in zip(range(self.count), turns, strict=False):
            yield line

    def _written(self, prompts: Sequence[list[Message]]) -> list[str]:
        """What the model wrote to each prompt; the child appends, and goes on where it was."""
        if not prompts:
            return []
        asked = "".join(json.dumps(prompt) + "\n" for prompt in prompts).encode()
        name = hashlib.sha256(asked).hexdigest()[:16]
        prompts_file = self.notes / f"{name}.prompts.jsonl"
        written = self.notes / f"{name}.jsonl"
        write_atomic(prompts_file, asked)
        job = {
            "teacher": str(self.model.resolve()),
            "prompts": str(prompts_file.resolve()),
            "replies": str(written.resolve()),
            "max_length": _MAX_PROMPT,
            "max_reply": _MAX_REPLY,
            "threads": self.threads,
            "seed": self.seed,
        }
        step = f"rewording with {self.model.name}"
        run_module(_CHILD, [json.dumps(job)], step=step, progress=self.progress)
        return [str(json.loads(line)) for line in written.read_text("utf-8").splitlines()]


class _Shown:
    """Pairs of sentences that mean the same: two ways of saying one phrase of the book."""

    def __init__(self, cells: Seeds, seed: int) -> None:
        self._rng = random.Random(f"{seed}:shown")
        self._pairs: dict[str, list[tuple[str, str]]] = {}
        for (language, _), lines in cells.items():
            ways: dict[str, list[str]] = {}
            for line in lines:
                if line.source == "template" and not any(p.entity for p in line.utterance):
                    ways.setdefault(line.origin, []).append(line.text)
            told = self._pairs.setdefault(language, [])
            told += [_farthest(texts) for texts in ways.values() if len(texts) > 1]

    def some(self, language: str) -> list[tuple[str, str]]:
        told = self._pairs.get(language, [])
        return self._rng.sample(told, min(_SHOWN, len(told)))


class _Labels:
    """Whether a rewording keeps the intent: the sentences most like it have that intent."""

    def __init__(self, cells: Seeds) -> None:
        self._texts: dict[str, list[str]] = {}
        self._intents: dict[str, list[str]] = {}
        for (language, intent), lines in cells.items():
            self._texts.setdefault(language, []).extend(plain(line.text) for line in lines)
            self._intents.setdefault(language, []).extend([intent] * len(lines))

    def agree(self, line: Line, text: str) -> bool:
        texts = self._texts[line.language]
        likest = process.extract(plain(text), texts, scorer=fuzz.token_sort_ratio, limit=_LIKEST)
        intents = [self._intents[line.language][place] for _, _, place in likest]
        return intents.count(line.intent) * 2 > len(intents)


def _farthest(texts: Sequence[str]) -> tuple[str, str]:
    first = texts[0]
    return first, min(texts[1:], key=lambda text: fuzz.ratio(first, text))


def _prompt(line: Line, shown: _Shown) -> list[Message]:
    words = [word for values in entities_of(line.utterance).values() for word in values]
    language = _NAMES.get(line.language) or LANGUAGE_NAMES.get(line.language, line.language)
    keep = _KEEP.format(words=", ".join(words)) if words else ""
    prompt = [Message(role="system", content=_RULES.format(language=language, keep=keep))]
    for said, otherwise in shown.some(line.language):
        prompt += [Message(role="user", content=said), Message(role="assistant", content=otherwise)]
    return [*prompt, Message(role="user", content=line.text)]


def bare(text: str) -> str:
    """What the model wrote without the quotation marks it likes to add."""
    return text.strip().strip(_WRAPPING)


def reworded(line: Line, text: str) -> tuple[Utterance | None, str]:
    """``text`` as a rewording of ``line``, or ``None`` and why it is none."""
    said = bare(text)
    if not said or _NOTE.search(said):
        return None, "not_a_sentence"
    spans: list[Span] = []
    around = said
    for piece, count in Counter(piece for piece in line.utterance if piece.entity).items():
        places = [found.start() for found in re.finditer(re.escape(piece.text), said)]
        if len(places) != count:
            return None, "entities"
        spans += [(place, place + len(piece.text), piece.entity) for place in places]
        around = around.replace(piece.text, " ")
    # Entities are the same in both and would make any two sentences look alike.
    before = " ".join(piece.text for piece in line.utterance if not piece.entity)
    reason = _fault(plain(before), plain(around))
    if not reason and detect_language(said, (line.language,))[0] != line.language:
        reason = "language"
    return (None, reason) if reason else (cut(said, spans), "")


def _fault(before: str, after: str) -> str:
    shortest, longest = (share * len(before) for share in _LENGTHS)
    if not shortest - _SHORT <= len(after) <= longest + _SHORT:
        return "length"
    likeness = max(fuzz.token_sort_ratio(before, after), fuzz.ratio(before, after))
    if likeness >= NEAR:
        return "same"
    return "too_far" if likeness < _FAR else ""
