"""One turn, from what the customer gave to an answer that is in the journal.

:meth:`Assistant.turn` is the one stream that the command line, the web API and the microphone loop
print and feed. ``_perform`` reads like the list of stages in the design: hear and read, understand,
decide, answer, finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime import __version__
from edge_runtime.answering import Answer
from edge_runtime.config import Settings
from edge_runtime.errors import (
    EdgeRuntimeError,
    EngineTimeoutError,
    TextError,
)
from edge_runtime.occupancy import Occupancy
from edge_runtime.rooms import Rooms
from edge_runtime.running import Run, SessionLocks, TurnRequest
from edge_runtime.saying import Sayer
from edge_runtime.turn import (
    Decision,
    Event,
    Passage,
    PictureText,
    Transcript,
    Understanding,
)

__all__ = ["Assistant", "TurnRequest"]

T = TypeVar("T")

_THREADS = 4
"""Recognition, generation and synthesis of one turn overlap; more threads than that only queue."""


class Assistant:
    """The assistant of one device.

    Args:
        settings: the device's settings.
        rooms: opened stages; by default those of ``settings``.

    Raises:
        PackError, ModelMissingError, ModelCorruptError, StorageError: it cannot start.
    """

    def __init__(self, settings: Settings, *, rooms: Rooms | None = None) -> None:
        self.settings = settings
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="turn")
        self._occupancy = Occupancy(rooms or Rooms(settings), self._executor)
        self._sayer = Sayer(self._executor, settings.llm_first_token_s)
        self._sessions = SessionLocks()

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self.rooms.close()

    @property
    def rooms(self) -> Rooms:
        """The stages that the next turn will use."""
        return self._occupancy.rooms

    def change(self, rooms: Rooms) -> None:
        """Answer from now on with other stages; a turn under way ends with those it began with.

        The former ones are closed when their last turn is over. Sessions go on: their state is in
        the journal, which both use.
        """
        self._occupancy.change(rooms)

    async def turn(self, request: TurnRequest) -> AsyncGenerator[Event]:
        """Answer one utterance as a stream of events that ends with ``Done``.

        Closing the iterator early cancels every stage: nothing late is ever shown or spoken, and
        the turn is journalled as cancelled.

        Raises:
            InputError: the text, recording or picture cannot be used.
            ModelError, EngineError: an engine this turn cannot do without is missing or failed.
            StorageError: the turn could not be written to the journal.
        """
        with self._occupancy.using() as rooms:
            run = Run(request, rooms)
            worker = asyncio.create_task(self._perform(run))
            try:
                while (event := await run.events.get()) is not None:
                    yield event
                await worker
            finally:
                run.cancel()
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)

    async def _perform(self, run: Run) -> None:
        limit = self.settings.turn_timeout_s
        try:
            async with self._sessions.hold(run.session), asyncio.timeout(limit):
                await self._take_in(run)
                understanding = await self._understand(run)
                decision = await self._decide(run, understanding)
                await self._answer(run, understanding, decision)
                await self._finish(run)
        except TimeoutError as error:
            run.cancel()
            await self._give_up(run, f"longer than {limit:.0f} s")
            raise EngineTimeoutError(
                f"The answer took longer than {limit:.0f} seconds and was stopped.",
                hint="Ask again; if it recurs, run 'edge-runtime doctor'.",
            ) from error
        except asyncio.CancelledError:
            run.cancel()
            run.journal_unfinished("cancelled", "")
            raise
        except EdgeRuntimeError as error:
            await self._give_up(run, error.message)
            raise
        finally:
            run.events.put_nowait(None)

    # ---- the stages, in order ----

    async def _take_in(self, run: Run) -> None:
        """Recording, picture and text become the words this turn is about."""
        request = run.request
        if request.image is not None:
            run.picture = await self._thread(
                run, "ocr", run.rooms.read, request.image, request.language, run.cancelled
            )
            run.emit(run.picture)
        if request.audio is not None:
            run.transcript = await self._thread(
                run, "asr", run.rooms.transcribe, request.audio, request.language, run.cancelled
            )
            run.emit(run.transcript)
        run.words = self._words(run.transcript, run.picture, request)

    def _words(
        self, transcript: Transcript | None, picture: PictureText | None, request: TurnRequest
    ) -> str:
        words = transcript.text if transcript else request.text.strip()
        if transcript is None and picture is None and not words:
            raise TextError("There is no question.", hint="Give a text, a recording or a picture.")
        if len(words) > self.settings.max_text_chars:
            raise TextError(
                f"The text has {len(words)} characters; at most "
                f"{self.settings.max_text_chars} are read.",
                hint="Ask in fewer words.",
            )
        return words

    async def _understand(self, run: Run) -> Understanding:
        understanding = await self._thread(run, "nlu", run.rooms.understand, run)
        run.understanding = understanding
        run.emit(understanding)
        return understanding

    async def _decide(self, run: Run, understanding: Understanding) -> Decision:
        decision = await self._thread(run, "dialogue", run.rooms.decide, run, understanding)
        run.decision = decision
        run.emit(decision)
        return decision

    async def _answer(self, run: Run, understanding: Understanding, decision: Decision) -> None:
        answer = await self._prepare_answer(run, understanding, decision)
        await self._sayer.say(run, answer)
        run.sources = answer.sources
        run.rooms.replied(run)
        run.finish_text()

    async def _prepare_answer(
        self, run: Run, understanding: Understanding, decision: Decision
    ) -> Answer:
        if decision.kind != "answer" or decision.reply:
            return await self._thread(run, "skill", run.rooms.act, run, understanding, decision)
        evidence = await self._thread(
            run, "knowledge", run.rooms.evidence, run, understanding, decision
        )
        if not evidence.passages:
            fallback = run.rooms.without_evidence(run, decision)
            run.decision = fallback
            run.emit(fallback)
            return await self._thread(run, "skill", run.rooms.act, run, understanding, fallback)
        answer = run.rooms.answer(run, understanding, decision, evidence)
        run.confidence = answer.confidence
        return answer

    async def _finish(self, run: Run) -> None:
        await self._thread(run, "journal", run.journal_done)
        await run.speaking_done()
        run.emit(run.done())

    async def _give_up(self, run: Run, why: str) -> None:
        await asyncio.get_running_loop().run_in_executor(
            self._executor, run.journal_unfinished, "failed", why
        )

    # ---- threads ----

    async def _thread(self, run: Run, stage: str, work: Callable[..., T], *args: Any) -> T:
        with run.timed(stage):
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)

    # ---- what the page and the commands ask besides turns ----

    def warm_up(self) -> None:
        """Load in the background what the first turn will need; failures show at that turn."""
        self._executor.submit(self._warm)

    def _warm(self) -> None:
        with self._occupancy.using() as rooms:
            try:
                rooms.warm_up()
            except EdgeRuntimeError as error:
                rooms.note(str(error))

    def keep_house(self) -> None:
        """Send what waited for a connection and drop what is past its time; blocking."""
        with self._occupancy.using() as rooms:
            rooms.keep_house()

    def picture(self, name: str) -> Path | None:
        """The file of a pack picture, or ``None``; never anything outside the pack's pictures."""
        return self.rooms.picture(name)

    def passage(self, passage_id: str, language: str) -> Passage | None:
        """A passage that an answer names as its source."""
        with self._occupancy.using() as rooms:
            return rooms.passage(passage_id, language)

    def engines_loaded(self) -> dict[str, bool]:
        return self.rooms.engines_loaded()

    def describe(self) -> dict[str, Any]:
        """Names, languages and first questions for the kiosk page."""
        return {"version": __version__, "profile": self.settings.profile, **self.rooms.describe()}
