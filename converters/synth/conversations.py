"""Conversations to tune a language model on, in the form in which the runtime asks it.

The system message holds the rules and, below its first line, the facts; then come the customer's
question and the reply. Every reply is held against its facts by the same judge that measures
models, and dropped if that finds fault.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from converters.evaluate.faithfulness import judge
from converters.evaluate.questions import Question
from converters.progress import Report
from converters.synth.asking import Asked, Asking, Kind
from converters.synth.likeness import Exclusion, key
from converters.synth.phrases import PhraseBook
from converters.synth.replying import Replies
from edge_runtime.generation import Prompt
from edge_runtime.generation.prompts import answer_prompt
from edge_runtime.packs import Pack, read_passages
from edge_runtime.turn import Passage

VALID_SHARE: Final = 0.1
_FOLLOWED_SHARE: Final = 0.4
_NEEDED: Final = frozenset({"answer", "unknown"})

Part = Literal["train", "valid"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A prompt and what is said over it: question, reply, and perhaps more of both.

    ``origin`` is the passage that the question came from; what shares an origin, or shows the
    same passage, stays in one part of the data.
    """

    prompt: Prompt
    turns: tuple[str, ...]
    language: str
    kind: Kind | Literal["follow_up"]
    passages: tuple[str, ...]
    origin: str
    change: str
    seed: int

    @property
    def answered(self) -> bool:
        return self.kind != "unknown"

    def as_json(self) -> dict[str, Any]:
        # The runtime's engines write the facts on a line below the rules.
        system = f"{self.prompt.system}\n{self.prompt.context}"
        said = [
            {"role": "assistant" if place % 2 else "user", "content": text}
            for place, text in enumerate(self.turns)
        ]
        return {
            "messages": [{"role": "system", "content": system}, *said],
            "lang": self.language,
            "answered": self.answered,
            "provenance": {
                "source": self.kind,
                "passages": list(self.passages),
                "from": self.origin,
                "change": self.change,
                "seed": self.seed,
            },
        }


@dataclass(frozen=True, slots=True)
class Conversations:
    """Both parts of the data, and how many were dropped for which reason."""

    train: list[Conversation]
    valid: list[Conversation]
    dropped: Mapping[str, int]


def make_conversations(
    pack: Pack, books: Sequence[PhraseBook], exclusion: Exclusion, seed: int, progress: Report
) -> Conversations:
    """Conversations in every language of ``books`` in which the pack has passages and the book
    has replies. Follow-ups stand in the training part only: models are measured on one question."""
    read = [p for file in pack.knowledge_files for p in read_passages(file, pack.root)]
    # Steps in a list are quoted by the runtime as they stand, never left to a model.
    passages = [passage for passage in read if "\n" not in passage.text]
    apart = _held_out(passages, seed)
    dropped: Counter[str] = Counter()
    made: dict[Part, list[Conversation]] = {"train": [], "valid": []}
    for number, book in enumerate(books):
        progress(f"asking in {book.language}", 0.9 + 0.1 * number / len(books))
        own = [passage for passage in passages if passage.language == book.language]
        seen: set[tuple[str, tuple[str, ...]]] = set()
        for part in made:
            shown = [p for p in own if (p.id in apart) == (part == "valid")]
            if shown and book.replies.keys() >= _NEEDED:
                maker = _Maker(pack, book, shown, seed, part, exclusion, seen, dropped)
                made[part] += maker.all()
    return Conversations(made["train"], made["valid"], dict(sorted(dropped.items())))


def _held_out(passages: Sequence[Passage], seed: int) -> frozenset[str]:
    """A tenth of each topic's passages, the same in all languages, since they are translations."""
    topics: dict[str, set[str]] = {}
    for passage in passages:
        topics.setdefault(passage.topic, set()).add(passage.id)
    held: set[str] = set()
    for ids in topics.values():
        ordered = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        if len(ordered) > 1:
            held.update(ordered[: max(1, round(len(ordered) * VALID_SHARE))])
    return frozenset(held)


class _Maker:
    """Makes one part of the data in one language; ``seen`` and ``dropped`` are shared."""

    def __init__(
        self,
        pack: Pack,
        book: PhraseBook,
        passages: Sequence[Passage],
        seed: int,
        part: str,
        exclusion: Exclusion,
        seen: set[tuple[str, tuple[str, ...]]],
        dropped: Counter[str],
    ) -> None:
        self._pack = pack
        self._language = book.language
        self._seed = seed
        self._follows = part == "train" and "follow" in book.replies
        self._asking = Asking(pack, book, passages, f"{seed}:{part}")
        self._replies = Replies(book, f"{seed}:{part}")
        self._rng = random.Random(f"{seed}:{part}:{book.language}:conversations")
        self._exclusion = exclusion
        self._seen = seen
        self._dropped = dropped

    def all(self) -> list[Conversation]:
        asked = self._asking.all()
        hits = self._exclusion.hits([each.question for each in asked])
        self._dropped["excluded"] += sum(hits)
        kept = [each for each, hit in zip(asked, hits, strict=True) if not hit]
        new = [each for each in kept if self._is_new(each)]
        made = [self._single(each) for each in new]
        faults = self._faults(made)
        # A passage that grants after it has refused reads as if it contradicted itself.
        again = [
            self._conversation(each, (each.question, self._replies.to(each, brief=True)), each.kind)
            for each, fault in zip(new, faults, strict=True)
            if fault and each.answer and self._replies.refuses(each.answer.text)
        ]
        first = [each for each, fault in zip(made, faults, strict=True) if not fault]
        more = [*again, *self._follow_ups(kept)]
        sound = [each for each, bad in zip(more, self._faults(more), strict=True) if not bad]
        self._dropped["unfaithful"] += len(more) - len(sound)
        return [*first, *sound]

    def _is_new(self, asked: Asked) -> bool:
        name = (key(asked.question), tuple(passage.id for passage in asked.passages))
        if name in self._seen:
            self._dropped["duplicate"] += 1
            return False
        self._seen.add(name)
        return True

    def _single(self, asked: Asked) -> Conversation:
        return self._conversation(asked, (asked.question, self._replies.to(asked)), asked.kind)

    def _follow_ups(self, asked: Sequence[Asked]) -> list[Conversation]:
        return list(self._followed(asked)) if self._follows else []

    def _followed(self, asked: Sequence[Asked]) -> Iterator[Conversation]:
        """Two questions over two passages, the second one short, as people go on."""
        about_goods = [each for each in asked if each.kind == "category"]
        for first in about_goods:
            others = [
                each
                for each in about_goods
                if each.answer
                and first.answer
                and each.answer.topic == first.answer.topic
                and each.answer.text != first.answer.text
            ]
            if not others or self._rng.random() > _FOLLOWED_SHARE:
                continue
            second = self._rng.choice(others)
            short = self._asking.follow_up(self._asking.goods_of(second))
            shown = [passage for passage in (first.answer, second.answer) if passage]
            self._rng.shuffle(shown)
            both = Asked(first.question, tuple(shown), first.answer, "category", first.origin)
            then = Asked(short, tuple(shown), second.answer, "category", second.origin)
            turns = (both.question, self._replies.to(both), short, self._replies.to(then))
            yield self._conversation(both, turns, "follow_up")

    def _conversation(
        self, asked: Asked, turns: tuple[str, ...], kind: Kind | Literal["follow_up"]
    ) -> Conversation:
        prompt = answer_prompt(asked.question, asked.passages, self._pack, self._language)
        shown = tuple(passage.id for passage in asked.passages)
        return Conversation(
            prompt, turns, self._language, kind, shown, asked.origin, asked.change, self._seed
        )

    def _faults(self, made: Sequence[Conversation]) -> list[bool]:
        """Of each whether the judge of models finds fault with one of its replies."""
        pairs = [
            (place, _question(place, each, at))
            for place, each in enumerate(made)
            for at in range(0, len(each.turns), 2)
        ]
        questions = [question for _, question in pairs]
        judged = judge(questions, [question.expected for question in questions], self._pack.lexicon)
        faults = [False] * len(made)
        for (place, _), outcome in zip(pairs, judged, strict=True):
            faults[place] |= bool(outcome.faults or outcome.misses)
        return faults


def _question(number: int, conversation: Conversation, at: int) -> Question:
    told, (asked, reply) = conversation.prompt, conversation.turns[at : at + 2]
    prompt = Prompt(told.system, told.context, asked)
    return Question(number, conversation.language, prompt, reply, conversation.answered)
