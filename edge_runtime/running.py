"""A turn while it runs: its request, what the stages found so far, its events and its timings."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import __version__
from edge_runtime.dialogue import Customer, SessionState
from edge_runtime.errors import EngineError, LanguageError, ModelError
from edge_runtime.journal import TurnRecord
from edge_runtime.languages import language_code
from edge_runtime.memory import resident_mb
from edge_runtime.tts import SpeechSegmenter
from edge_runtime.turn import (
    Audio,
    Card,
    Decision,
    Done,
    Event,
    PictureText,
    Speech,
    TextDelta,
    Transcript,
    Understanding,
)

if TYPE_CHECKING:
    from edge_runtime.rooms import Rooms

_KEPT_LOCKS = 1024


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a customer gave: at least one of ``text``, ``audio`` and ``image``.

    ``audio`` and ``image`` are file contents, a path, or (audio) samples already at hand.
    ``session`` continues an earlier conversation, ``user`` names a customer known to the shop,
    ``speak`` asks for the reply as speech too.
    """

    text: str = ""
    audio: bytes | Path | Audio | None = None
    image: bytes | Path | None = None
    language: str | None = None
    session: str = ""
    user: str = ""
    speak: bool = False


class Run:
    """The working memory of one turn; lives on the event loop's thread."""

    def __init__(self, request: TurnRequest, rooms: Rooms) -> None:
        self.request = dataclasses.replace(request, language=language_code(request.language))
        self.id = uuid.uuid4().hex
        self.session = request.session or uuid.uuid4().hex
        self.cancelled = threading.Event()
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.timings: dict[str, float] = {}
        self.words = ""
        self.transcript: Transcript | None = None
        self.picture: PictureText | None = None
        self.understanding: Understanding | None = None
        self.decision: Decision | None = None
        self.confidence: float | None = None
        self.state = SessionState(self.session)
        self.customer: Customer | None = None
        self.reply = ""
        self.cards: list[Card] = []
        self.sources: tuple[str, ...] = ()
        self.blocked: tuple[str, ...] = ()
        self.rooms = rooms
        self._started_at = datetime.now(UTC)
        self._start = time.perf_counter()
        self._stops: list[threading.Event] = []
        self._segmenter = SpeechSegmenter()
        self._segments: asyncio.Queue[str | None] = asyncio.Queue()
        self._speaking: asyncio.Task[None] | None = None
        self._journalled = False

    # ---- events and timings ----

    def emit(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self.reply += event.text
            self._mark_first("first_token")
        self.events.put_nowait(event)

    def show(self, card: Card) -> None:
        self.cards.append(card)
        self.emit(card)

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's milliseconds to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1000
            self.timings[stage] = round(self.timings.get(stage, 0.0) + spent, 2)

    def _mark_first(self, name: str) -> None:
        self.timings.setdefault(name, round((time.perf_counter() - self._start) * 1000, 2))

    # ---- cancellation ----

    def cancel(self) -> None:
        """Tell every stage of this turn to stop."""
        self.cancelled.set()
        for stop in self._stops:
            stop.set()
        if self._speaking:
            self._speaking.cancel()

    def child_event(self) -> threading.Event:
        """An event that one stage may set for itself and that cancelling the turn sets too."""
        stop = threading.Event()
        self._stops.append(stop)
        if self.cancelled.is_set():
            stop.set()
        return stop

    # ---- speech, while the reply is still being written ----

    @property
    def language(self) -> str:
        if self.state.language:
            return self.state.language
        return self.understanding.language if self.understanding else self.request.language or ""

    def speak(self, text: str, executor: Executor) -> None:
        if not self.request.speak:
            return
        if self._speaking is None:
            self._speaking = asyncio.create_task(self._speak_segments(executor))
        for segment in self._segmenter.feed(text):
            self._segments.put_nowait(segment)

    def finish_text(self) -> None:
        """The reply is complete; what is left of it may be spoken."""
        for segment in self._segmenter.finish():
            self._segments.put_nowait(segment)
        self._segments.put_nowait(None)

    async def speaking_done(self) -> None:
        if self._speaking:
            await self._speaking

    async def _speak_segments(self, executor: Executor) -> None:
        """Synthesise segment by segment. A reply that cannot be spoken is still shown."""
        loop = asyncio.get_running_loop()
        index = 0
        while (segment := await self._segments.get()) is not None:
            try:
                with self.timed("tts"):
                    audio = await loop.run_in_executor(
                        executor, self.rooms.synthesize, segment, self.language, self.cancelled
                    )
            except (ModelError, EngineError, LanguageError) as error:
                self.rooms.note(f"The reply was not spoken: {error}")
                return
            if len(audio.samples):
                self._mark_first("first_audio")
                self.emit(Speech(audio, segment, index))
                index += 1

    # ---- the end ----

    def journal_done(self) -> None:
        """Commit the finished turn; afterwards it survives a killed process."""
        self.timings["total"] = round((time.perf_counter() - self._start) * 1000, 2)
        self._journal("done", "")

    def journal_unfinished(self, outcome: str, error: str) -> None:
        """Commit what there is of a turn that was cancelled or failed, unless it was finished.

        Turns that failed before anything was understood hold nothing worth keeping.
        """
        if self.understanding is not None and not self._journalled:
            self._journal(outcome, error)

    def _journal(self, outcome: str, error: str) -> None:
        state = self.state if outcome == "done" else None
        self.rooms.journal.record(
            self._record(outcome, error), state_json=state.to_json() if state else None
        )
        self._journalled = True

    def _record(self, outcome: str, error: str) -> TurnRecord:
        done = self.done()
        return TurnRecord(
            turn_id=self.id,
            session=self.session,
            started_at=self._started_at.isoformat(timespec="milliseconds"),
            user=self.request.user,
            language=done.language,
            source=self._source(),
            text=self.words,
            transcript=done.transcript,
            ocr_text=done.ocr_text,
            normalized=done.normalized,
            intent=done.intent,
            intent_confidence=done.intent_confidence,
            sentiment=done.sentiment,
            entities=tuple(dataclasses.asdict(entity) for entity in done.entities),
            confidence=done.confidence,
            decision=done.decision,
            reason=done.reason,
            reply=done.reply,
            sources=done.sources,
            blocked=done.blocked,
            timings_ms=done.timings_ms,
            runtime_version=__version__,
            pack=self.rooms.pack_version,
            models=self.rooms.model_names,
            outcome=outcome,
            error=error,
            memory_mb=resident_mb(),
        )

    def _source(self) -> str:
        return "image" if self.picture else "audio" if self.transcript else "text"

    def done(self) -> Done:
        """The turn as ``ask --json`` prints it."""
        said, decision = self.understanding, self.decision
        confidence = decision.confidence if decision else 0.0
        return Done(
            turn_id=self.id,
            session=self.session,
            reply=self.reply.strip(),
            language=self.language,
            transcript=self.transcript.text if self.transcript else "",
            ocr_text=self.picture.text if self.picture else "",
            normalized=said.normalized if said else "",
            intent=decision.intent if decision else said.intent if said else "",
            intent_confidence=said.intent_confidence if said else 0.0,
            sentiment=said.sentiment if said else "neutral",
            entities=said.entities if said else (),
            confidence=round(confidence if self.confidence is None else self.confidence, 4),
            decision=decision.kind if decision else "clarify",
            reason=decision.reason if decision else "",
            sources=self.sources,
            blocked=tuple(dict.fromkeys(self.blocked)),
            cards=tuple(self.cards),
            timings_ms=dict(self.timings),
        )


class SessionLocks:
    """Turns of one session run one after the other; different sessions side by side."""

    def __init__(self) -> None:
        self._locks: OrderedDict[str, asyncio.Lock] = OrderedDict()

    @contextlib.asynccontextmanager
    async def hold(self, session: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(session, asyncio.Lock())
        self._locks.move_to_end(session)
        async with lock:
            yield
        while len(self._locks) > _KEPT_LOCKS:
            oldest, idle = next(iter(self._locks.items()))
            if idle.locked():
                break
            del self._locks[oldest]
