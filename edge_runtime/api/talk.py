"""One WebSocket conversation: questions and microphone frames in, turn events out.

A new question or ``cancel`` stops the running turn (barge-in): nothing of it is sent afterwards.
Every event repeats the ``turn`` that the client gave its question, so that a client can tell what
was already on its way from what belongs to its newest question.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from edge_runtime.api.events import answer_events
from edge_runtime.api.requests import (
    AskMessage,
    CancelMessage,
    ListenedMessage,
    ListenMessage,
    read_message,
    turn_request,
)
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.audio import RATE, Endpointer, pcm16_to_samples
from edge_runtime.errors import AudioError, EdgeRuntimeError, InputError
from edge_runtime.turn import Audio
from edge_runtime.wire import error_json

_SAMPLE_BYTES = 2


class Conversation:
    """Serves one connected page until it leaves."""

    def __init__(self, socket: WebSocket, assistant: Assistant) -> None:
        self._socket = socket
        self._assistant = assistant
        self._turn: asyncio.Task[None] | None = None
        self._listening: ListenMessage | None = None
        self._heard = bytearray()
        self._endpointer: Endpointer | None = None

    async def run(self) -> None:
        await self._socket.accept()
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._handle(message)
        except WebSocketDisconnect:
            return
        finally:
            await self._stop_turn()

    async def _handle(self, message: Mapping[str, object]) -> None:
        frame, text = message.get("bytes"), message.get("text")
        try:
            if isinstance(frame, bytes):
                await self._hear(frame)
            else:
                await self._obey(str(text or ""))
        except EdgeRuntimeError as error:
            turn = self._listening.turn if self._listening else ""
            self._stop_listening()
            await self._send(error_json(error), turn)

    async def _obey(self, text: str) -> None:
        message = read_message(text)
        match message:
            case AskMessage():
                await self._ask(message)
            case ListenMessage():
                await self._stop_turn()
                self._start_listening(message)
            case ListenedMessage():
                await self._answer_heard()
            case CancelMessage():
                self._stop_listening()
                await self._stop_turn()
                await self._send({"type": "cancelled"}, "")

    async def _ask(self, message: AskMessage) -> None:
        self._stop_listening()
        await self._stop_turn()
        try:
            request = turn_request(message, self._assistant.settings)
        except InputError as error:
            await self._send(error_json(error), message.turn)
        else:
            self._start_turn(request, message.turn)

    def _start_listening(self, message: ListenMessage) -> None:
        self._stop_listening()
        self._listening = message
        self._endpointer = Endpointer() if message.hands_free else None

    def _stop_listening(self) -> None:
        self._listening = None
        self._heard.clear()
        self._endpointer = None

    async def _hear(self, frame: bytes) -> None:
        if self._listening is None:
            return
        limit = self._assistant.settings.max_audio_s
        if len(self._heard) + len(frame) > limit * RATE * _SAMPLE_BYTES:
            raise AudioError(
                f"The question is longer than {limit:.0f} seconds.", hint="Ask in fewer words."
            )
        samples = pcm16_to_samples(frame)
        self._heard += frame
        if self._endpointer and any(e.kind == "speech_end" for e in self._endpointer.feed(samples)):
            await self._send({"type": "heard"}, self._listening.turn)
            await self._answer_heard()

    async def _answer_heard(self) -> None:
        message = self._listening
        if message is None:
            return
        samples = pcm16_to_samples(bytes(self._heard))
        self._stop_listening()
        request = TurnRequest(
            audio=Audio(samples, RATE),
            language=message.language or None,
            session=message.session,
            user=message.user,
            speak=message.speak,
        )
        self._start_turn(request, message.turn)

    def _start_turn(self, request: TurnRequest, turn: str) -> None:
        self._turn = asyncio.create_task(self._send_turn(request, turn))

    async def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.gather(self._turn, return_exceptions=True)
            self._turn = None

    async def _send_turn(self, request: TurnRequest, turn: str) -> None:
        async with aclosing(answer_events(self._assistant, request)) as events:
            async for event in events:
                await self._send(event, turn)

    async def _send(self, event: Mapping[str, Any], turn: str) -> None:
        """Send one event.

        Raises:
            WebSocketDisconnect: the page has left.
        """
        tagged = {**event, "turn": turn} if turn else event
        try:
            await self._socket.send_text(json.dumps(tagged, ensure_ascii=False))
        except RuntimeError as error:
            # Starlette's answer to a socket that was closed between two events.
            raise WebSocketDisconnect(code=1006) from error
