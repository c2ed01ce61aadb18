"""One WebSocket conversation: questions and microphone frames in, turn events out.

A new question or ``cancel`` stops the running turn (barge-in): nothing of it is sent afterwards.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from edge_runtime.api.requests import AskMessage, ListenMessage, describe, turn_request
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.audio import RATE, Endpointer, pcm16_to_samples
from edge_runtime.errors import AudioError, EdgeRuntimeError, InputError
from edge_runtime.turn import Audio
from edge_runtime.wire import error_json, event_json


class Conversation:
    """Serves one connected page until it leaves."""

    def __init__(self, socket: WebSocket, assistant: Assistant) -> None:
        self._socket = socket
        self._assistant = assistant
        self._turn: asyncio.Task[None] | None = None
        self._listening: ListenMessage | None = None
        self._heard: list[np.ndarray] = []
        self._heard_samples = 0
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
        try:
            frame = message.get("bytes")
            if isinstance(frame, bytes):
                await self._hear(frame)
            else:
                await self._obey(str(message.get("text") or ""))
        except ValidationError as error:
            await self._socket.send_json(error_json(InputError(describe(error))))
        except EdgeRuntimeError as error:
            self._stop_listening()
            await self._socket.send_json(error_json(error))

    async def _obey(self, text: str) -> None:
        kind = _kind(text)
        if kind == "ask":
            request = turn_request(AskMessage.model_validate_json(text), self._assistant.settings)
            await self._start_turn(request)
        elif kind == "listen":
            await self._stop_turn()
            self._start_listening(ListenMessage.model_validate_json(text))
        elif kind == "listened":
            await self._answer_heard()
        elif kind == "cancel":
            self._stop_listening()
            await self._stop_turn()
            await self._socket.send_json({"type": "cancelled"})
        else:
            raise InputError(
                "The message has no known 'type'.", hint="Use ask, listen, listened or cancel."
            )

    def _start_listening(self, message: ListenMessage) -> None:
        self._stop_listening()
        self._listening = message
        self._endpointer = Endpointer() if message.hands_free else None

    def _stop_listening(self) -> None:
        self._listening = None
        self._heard.clear()
        self._heard_samples = 0
        self._endpointer = None

    async def _hear(self, frame: bytes) -> None:
        if self._listening is None:
            return
        samples = pcm16_to_samples(frame)
        self._heard.append(samples)
        self._heard_samples += len(samples)
        limit = self._assistant.settings.max_audio_s
        if self._heard_samples > limit * RATE:
            raise AudioError(
                f"The question is longer than {limit:.0f} seconds.", hint="Ask in fewer words."
            )
        if self._endpointer and any(e.kind == "speech_end" for e in self._endpointer.feed(samples)):
            await self._socket.send_json({"type": "heard"})
            await self._answer_heard()

    async def _answer_heard(self) -> None:
        message = self._listening
        if message is None:
            return
        samples = np.concatenate(self._heard) if self._heard else np.zeros(0, dtype=np.float32)
        self._stop_listening()
        request = TurnRequest(
            audio=Audio(samples, RATE),
            language=message.language or None,
            session=message.session,
            user=message.user,
            speak=message.speak,
        )
        await self._start_turn(request)

    async def _start_turn(self, request: TurnRequest) -> None:
        await self._stop_turn()
        self._turn = asyncio.create_task(self._send_turn(request))

    async def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.gather(self._turn, return_exceptions=True)
            self._turn = None

    async def _send_turn(self, request: TurnRequest) -> None:
        try:
            async for event in self._assistant.turn(request):
                await self._socket.send_text(json.dumps(event_json(event), ensure_ascii=False))
        except EdgeRuntimeError as error:
            await self._socket.send_json(error_json(error))
        except (WebSocketDisconnect, RuntimeError):
            return


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser's request comes from this device's own page.

    Requests without ``Origin`` come from programs, which need no such protection.
    """
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _kind(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    return str(value.get("type", "")) if isinstance(value, dict) else ""
