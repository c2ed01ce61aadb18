"""How a reply is said: every word and card goes through the guard before anyone gets it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from concurrent.futures import Executor

from edge_runtime.answering import Answer
from edge_runtime.errors import EngineError, EngineTimeoutError, ModelError
from edge_runtime.generation import Prompt
from edge_runtime.guard import GuardStream
from edge_runtime.running import Run
from edge_runtime.turn import Card, TextDelta


class Sayer:
    """Says answers.

    Args:
        executor: where replies are generated and spoken.
        first_token_s: how long the language model may take to begin.
    """

    def __init__(self, executor: Executor, first_token_s: float) -> None:
        self._executor = executor
        self._first_token_s = first_token_s

    async def say(self, run: Run, answer: Answer) -> None:
        """Show the cards, then say the text: quoted, or generated where there is a prompt."""
        for card in answer.cards:
            self._show(run, card)
        guard = run.rooms.open_guard(run, answer)
        whole = True
        if answer.prompt is None:
            self._say(run, guard, answer.text)
        else:
            whole = await self._say_generated(run, guard, answer.prompt)
        self._say_rest(run, guard)
        if guard.stopped or not whole or not run.reply.strip():
            self._say_instead(run, answer)

    def _show(self, run: Run, card: Card) -> None:
        written = f"{card.title}\n{card.body}"
        guard = run.rooms.open_guard(run, Answer(written))
        shown = guard.feed(written) + guard.finish()
        if not guard.stopped:
            title, _, body = shown.partition("\n")
            run.show(Card(card.kind, title, body, card.image, card.buttons))

    def _say(self, run: Run, guard: GuardStream, text: str) -> None:
        with run.timed("guard"):
            safe = guard.feed(text)
        self._release(run, safe)

    async def _say_generated(self, run: Run, guard: GuardStream, prompt: Prompt) -> bool:
        """False when the model broke off, perhaps in the middle of a sentence."""
        with run.timed("generation"):
            try:
                async with contextlib.aclosing(self._generated(run, prompt)) as pieces:
                    async for piece in pieces:
                        self._say(run, guard, piece)
                        if guard.stopped:
                            break
            except (ModelError, EngineError) as error:
                run.rooms.note(f"The passage is quoted instead: {error}")
                guard.stop()
                return False
        return True

    async def _generated(self, run: Run, prompt: Prompt) -> AsyncGenerator[str]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        stopped = run.child_event()

        def produce() -> None:
            try:
                for piece in run.rooms.generate(prompt, stopped):
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(pieces.put_nowait, None)

        work = loop.run_in_executor(self._executor, produce)
        try:
            piece = await self._first(pieces)
            while piece is not None:
                yield piece
                piece = await pieces.get()
            await work
        finally:
            stopped.set()

    async def _first(self, pieces: asyncio.Queue[str | None]) -> str | None:
        limit = self._first_token_s
        try:
            async with asyncio.timeout(limit):
                return await pieces.get()
        except TimeoutError as error:
            raise EngineTimeoutError(
                f"The language model had not begun after {limit:.1f} s."
            ) from error

    def _say_rest(self, run: Run, guard: GuardStream) -> None:
        with run.timed("guard"):
            safe = guard.finish()
        self._release(run, safe)
        run.blocked += guard.blocked

    def _say_instead(self, run: Run, answer: Answer) -> None:
        """What is said when a reply was stopped: the quoted passage, else a polite line."""
        quoted = answer.text if answer.prompt is not None else run.rooms.line(run, "blocked")
        guard = run.rooms.open_guard(run, Answer(quoted))
        self._release(run, "\n" if run.reply else "")
        self._release(run, guard.feed(quoted) + guard.finish())
        run.blocked += guard.blocked
        if guard.stopped:
            self._release(run, run.rooms.line(run, "blocked"))

    def _release(self, run: Run, text: str) -> None:
        if text:
            run.emit(TextDelta(text))
            run.speak(text, self._executor)
