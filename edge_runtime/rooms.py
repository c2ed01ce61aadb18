"""The stages of one device, opened: each method is one stage of a turn, called from a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.answering import Answer, answer_from_evidence, find_evidence
from edge_runtime.dialogue import SessionState
from edge_runtime.generation import Prompt
from edge_runtime.guard import GuardStream
from edge_runtime.nlu import detect_language
from edge_runtime.opened import OpenedRooms
from edge_runtime.turn import (
    OUT_OF_SCOPE,
    Audio,
    Decision,
    Evidence,
    Passage,
    PictureText,
    Transcript,
    Understanding,
)

if TYPE_CHECKING:
    from edge_runtime.running import Run

logger = logging.getLogger(__name__)

_ABUSE = frozenset({"profanity", "abuse", "insult", "hate"})
_MAX_PICTURE_WORDS = 400
_CONSIDERED = 40
"""Passages looked at for one question: a topic of the pack holds fewer."""
_SPOKEN_MAX_S = 600.0


class Rooms(OpenedRooms):
    """Every stage of one device, on what :class:`OpenedRooms` opens."""

    # ---- taking in ----

    def read(
        self,
        image: bytes | Path,
        language: str | None,
        cancelled: threading.Event | None = None,
    ) -> PictureText:
        from edge_runtime.ocr import load_image

        picture = load_image(
            image,
            max_bytes=self.settings.max_image_bytes,
            max_pixels=self.settings.max_image_pixels,
        )
        with self.engines.ocr.use() as reader:
            return reader.read(picture, language=language, cancelled=cancelled)

    def transcribe(
        self,
        audio: bytes | Path | Audio,
        language: str | None,
        cancelled: threading.Event | None = None,
    ) -> Transcript:
        from edge_runtime.audio import decode_audio, trim_silence

        if not isinstance(audio, Audio):
            audio = decode_audio(
                audio,
                max_seconds=self.settings.max_audio_s,
                max_bytes=self.settings.max_audio_bytes,
            )
        speech = trim_silence(audio)
        if not len(speech.samples):
            return Transcript("", language or self.pack.default_language, 0.0)
        hints = self.pack.lexicon.hints.get(language or self.pack.default_language, ())
        with self.engines.asr.use() as recognizer:
            return recognizer.transcribe(
                speech, language=language, hints=hints, cancelled=cancelled
            )

    # ---- understanding and deciding ----

    def understand(self, run: Run) -> Understanding:
        """Recall the session and understand the words (those of the picture where none came)."""
        self.prepare()
        kept = self.journal.session_state(run.session)
        run.state = SessionState.from_json(kept, session=run.session) if kept else run.state
        language = run.request.language
        if language is None and run.transcript and run.transcript.text:
            language = run.transcript.language
        words = run.words
        if not words and run.picture:
            words = " ".join(run.picture.text.split())[:_MAX_PICTURE_WORDS]
        if not words.strip():
            return _nothing_said(language or run.state.language or self.pack.default_language)
        return self.understander.understand(words, language=language, hint=run.state.language)

    def understand_many(
        self, texts: Sequence[str], languages: Sequence[str | None]
    ) -> list[Understanding]:
        """Understand ``texts``, each in its given or detected language; results in order."""
        results: dict[int, Understanding] = {}
        for language in dict.fromkeys(languages):
            chosen = [i for i, code in enumerate(languages) if code == language]
            found = self.understander.understand_many([texts[i] for i in chosen], language=language)
            results.update(zip(chosen, found, strict=True))
        return [results[i] for i in range(len(texts))]

    def language_of(self, text: str) -> str:
        return detect_language(text, self.pack.languages)[0]

    def decide(self, run: Run, understanding: Understanding) -> Decision:
        run.customer = self.dialogue.customer(run.request.user)
        abusive = not _ABUSE.isdisjoint(self.guard.check_input(run.words))
        decision, run.state = self.dialogue.decide(
            understanding,
            run.state,
            customer=run.customer,
            picture=run.picture,
            abusive=abusive,
            known=self._known(understanding),
        )
        return decision

    def _known(self, understanding: Understanding) -> float:
        """How well the pack's knowledge answers what the classifier is unsure of."""
        sure = understanding.intent_confidence >= self.pack.escalation.min_confidence
        if not understanding.normalized or (sure and understanding.intent != OUT_OF_SCOPE):
            return 0.0
        found = self.knowledge.search(
            understanding.normalized, language=understanding.language, limit=1
        )
        return found[0].score if found else 0.0

    # ---- answering ----

    def evidence(self, run: Run, understanding: Understanding, decision: Decision) -> Evidence:
        language = run.language
        return find_evidence(
            self.pack,
            understanding.normalized,
            decision,
            search=lambda query, topic: self.knowledge.search(
                query, language=language, topic=topic, limit=_CONSIDERED
            ),
            lookup=lambda passage: self.knowledge.passage(passage, language),
        )

    def answer(
        self, run: Run, understanding: Understanding, decision: Decision, evidence: Evidence
    ) -> Answer:
        return answer_from_evidence(
            self.pack,
            understanding.normalized,
            evidence,
            decision,
            run.language,
            opening=self.dialogue.opening(run.language, decision.values),
            can_generate=self.engines.has_llm,
        )

    def act(self, run: Run, understanding: Understanding, decision: Decision) -> Answer:
        """Run the decided skill, or fill the decided reply."""
        if not decision.skill:
            text = self.dialogue.render(decision.reply, run.language, decision.values)
            return Answer(text, cards=self.dialogue.cards(decision))
        language = run.language
        outcome = self.dialogue.run_skill(
            decision,
            understanding,
            run.state,
            customer=run.customer,
            picture=run.picture,
            retrieve=lambda query, topic: self.knowledge.search(
                query, language=language, topic=topic
            ),
        )
        run.state = outcome.state
        if outcome.handover:
            run.decision = replace(decision, kind="handover")
        values = {**decision.values, **outcome.values}
        text = self.dialogue.render(outcome.reply, run.language, values)
        return Answer(text, sources=outcome.sources, cards=outcome.cards)

    def without_evidence(self, run: Run, decision: Decision) -> Decision:
        fallback, run.state = self.dialogue.on_no_evidence(decision, run.state)
        return fallback

    def replied(self, run: Run) -> None:
        """Remember what was said, for "repeat that" and for the next decision."""
        if run.decision is not None:
            run.state = self.dialogue.replied(run.decision, run.state, run.reply.strip())

    def open_guard(self, run: Run, answer: Answer) -> GuardStream:
        """A guard for one answer. What the model writes must agree with the evidence; the pack's
        and the skills' own words may name the telephone numbers and addresses they do."""
        allowed = [run.words] if answer.prompt else [run.words, answer.text]
        evidence = [*answer.evidence, run.words] if answer.evidence else None
        return self.guard.open(language=run.language, allowed=allowed, evidence=evidence)

    def line(self, run: Run, key: str) -> str:
        return self.dialogue.render(key, run.language, {})

    def generate(self, prompt: Prompt, stopped: threading.Event) -> Iterator[str]:
        with self.engines.llm.use() as model:
            yield from model.stream(
                prompt,
                max_tokens=self.settings.llm_max_tokens,
                timeout_s=self.settings.llm_timeout_s,
                cancelled=stopped,
            )

    def synthesize(self, text: str, language: str, cancelled: threading.Event) -> Audio:
        voice = self.pack.persona.voices.get(language, "")
        with self.engines.tts.use() as synthesizer:
            return synthesizer.synthesize(text, language, voice=voice, cancelled=cancelled)

    def say_all(self, text: str, language: str, voice: str) -> Audio:
        """A whole text as one sound."""
        with self.engines.tts.use() as synthesizer:
            chosen = voice or self.pack.persona.voices.get(language, "")
            audio = synthesizer.synthesize(text, language, voice=chosen)
        limit = int(_SPOKEN_MAX_S * audio.rate)
        return Audio(np.ascontiguousarray(audio.samples[:limit]), audio.rate)

    # ---- what commands and the page ask ----

    def note(self, problem: str) -> None:
        logger.warning("%s", problem)

    def find(self, query: str, language: str) -> tuple[Passage, ...]:
        return self.knowledge.search(query, language=language, limit=8)

    def passage(self, passage_id: str, language: str) -> Passage | None:
        """The passage with this id, in ``language`` where there is one."""
        return self.knowledge.passage(passage_id, language)

    def passages(self) -> tuple[Passage, ...]:
        return self.knowledge.passages()

    def picture(self, name: str) -> Path | None:
        path = (self.pack.root / name).resolve()
        inside = path.is_relative_to((self.pack.root / "images").resolve())
        return path if inside and path.is_file() else None

    def engines_loaded(self) -> dict[str, bool]:
        slots = (self.engines.encoder, self.engines.asr, self.engines.ocr, self.engines.tts)
        return {slot.name: slot.loaded for slot in (*slots, self.engines.llm)}

    @property
    def pack_version(self) -> str:
        return f"{self.pack.name} {self.pack.version}"

    @property
    def model_names(self) -> dict[str, str]:
        profile = self.engines.profile
        stages = ("asr", "ocr", "llm", "tts", "encoder")
        names = {stage: getattr(profile, stage) for stage in stages}
        return {**names, "bundle": self.bundle.label if self.bundle else ""}

    def describe(self) -> dict[str, Any]:
        pack = self.pack
        return {
            "pack": pack.name,
            "languages": list(pack.languages),
            "default_language": pack.default_language,
            "shop": dict(pack.kiosk.title),
            "tagline": dict(pack.kiosk.tagline),
            "greeting": {code: texts["greeting"] for code, texts in pack.replies.items()},
            "quick": {code: list(questions) for code, questions in pack.kiosk.questions.items()},
        }


def _nothing_said(language: str) -> Understanding:
    """What silence, or a picture without text, is understood as."""
    return Understanding("", "", language, OUT_OF_SCOPE, 0.0, "neutral", 0.0, ())
