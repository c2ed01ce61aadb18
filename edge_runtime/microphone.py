"""The hands-free loop of a smart speaker: sound in on standard input, replies out of a player.

A customer who starts to speak while the assistant does cuts it off (barge-in).
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import uuid
from collections import deque

import numpy as np

from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.audio import RATE, Endpointer, SpeechEvent, pcm16_to_samples, wav_bytes
from edge_runtime.commands.console import err, out
from edge_runtime.errors import ConfigError, EdgeRuntimeError
from edge_runtime.turn import Audio, Done, Speech, Transcript

_CHUNK = RATE // 10 * 2
"""Bytes read at a time: 0.1 s."""


class Listener:
    """Cuts the incoming stream into utterances; keeps no more sound than the longest question."""

    def __init__(self, max_seconds: float) -> None:
        self._endpointer = Endpointer()
        self._kept: deque[np.ndarray] = deque()
        self._offset = 0
        self._length = 0
        self._limit = int((max_seconds + 1) * RATE)
        self._start: int | None = None

    @property
    def speaking(self) -> bool:
        return self._start is not None

    def feed(self, frame: bytes) -> list[Audio]:
        """Take 16-bit samples; return the utterances that ended in them."""
        samples = pcm16_to_samples(frame[: len(frame) // 2 * 2])
        self._kept.append(samples)
        self._length += len(samples)
        while self._length > self._limit:
            dropped = self._kept.popleft()
            self._offset += len(dropped)
            self._length -= len(dropped)
        return self._ended(self._endpointer.feed(samples))

    def finish(self) -> list[Audio]:
        """The stream is over: the utterance that was not yet ended, if any."""
        return self._ended(self._endpointer.flush())

    def _ended(self, events: list[SpeechEvent]) -> list[Audio]:
        ended = []
        for event in events:
            if event.kind == "speech_start":
                self._start = event.offset
            elif self._start is not None:
                ended.append(self._cut(self._start, event.offset))
                self._start = None
        return ended

    def _cut(self, start: int, end: int) -> Audio:
        sound = np.concatenate(self._kept)
        first = max(0, start - self._offset)
        return Audio(sound[first : max(first, end - self._offset)], RATE)


async def serve_microphone(
    assistant: Assistant, *, session: str, user: str, language: str | None
) -> None:
    """Answer every utterance on standard input until it ends.

    Raises:
        ConfigError: the player program cannot be started.
    """
    assistant.warm_up()
    listener = Listener(assistant.settings.max_audio_s)
    session = session or uuid.uuid4().hex
    running: asyncio.Task[None] | None = None
    listening = True
    while listening:
        frame = await asyncio.to_thread(sys.stdin.buffer.read, _CHUNK)
        listening = bool(frame)
        utterances = listener.feed(frame) if listening else listener.finish()
        if (listener.speaking or utterances) and running:
            running.cancel()
        for audio in utterances:
            request = TurnRequest(
                audio=audio, language=language, session=session, user=user, speak=True
            )
            running = asyncio.create_task(_answer(assistant, request))
    if running:
        await asyncio.gather(running, return_exceptions=True)


async def _answer(assistant: Assistant, request: TurnRequest) -> None:
    try:
        async for event in assistant.turn(request):
            if isinstance(event, Transcript):
                out.print(f"« {event.text} »", style="dim", markup=False)
            elif isinstance(event, Speech):
                await _play(event.audio)
            elif isinstance(event, Done):
                out.print(event.reply, markup=False, soft_wrap=True)
    except EdgeRuntimeError as error:
        err.print(str(error), style="red", markup=False)


async def _play(audio: Audio) -> None:
    command = shlex.split(os.environ.get("EDGE_PLAYER", "aplay -q -"))
    try:
        player = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    except OSError as error:
        raise ConfigError(
            f"The player '{command[0]}' cannot be started: {error.strerror}.",
            hint="Install it (apt-get install alsa-utils) or set EDGE_PLAYER.",
        ) from error
    try:
        await player.communicate(wav_bytes(audio))
    except asyncio.CancelledError:
        player.kill()
        raise
