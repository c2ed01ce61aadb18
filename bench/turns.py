"""Speed of turns: time to first token, each stage's median, and the voice turn against the same
engines called one after the other (whole recognition, then whole reply, then whole speech), in
one run, questions alternating between the two."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.report import report
from bench.workload import MODEL_ANSWERS, PACK_ANSWERS, Question, recordings
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.config import load_settings
from edge_runtime.rooms import Rooms
from edge_runtime.tts import SpeechRouter
from edge_runtime.turn import Done, Speech

ROUNDS = 5


def main() -> None:
    asyncio.run(_measure())


async def _measure() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        settings = load_settings(profile="standard", data_dir=Path(scratch))
        rooms = Rooms(settings)
        assistant = Assistant(settings, rooms=rooms)
        rooms.prepare()
        await _text_turns(assistant)
        await _voice_turns(assistant, rooms)
        assistant.close()


async def _text_turns(assistant: Assistant) -> None:
    rows = []
    for name, questions, bound in (("pack", PACK_ANSWERS, 60), ("model", MODEL_ANSWERS, 300)):
        cold = await _asked(assistant, questions)
        warm = [done for _ in range(ROUNDS) for done in await _asked(assistant, questions)]
        rows.append(
            {
                "answered from": name,
                "first token ms, first time": _median(cold, "first_token"),
                "first token ms, warm": _median(warm, "first_token"),
                "bound ms": bound,
                **{
                    f"{stage} ms": _median(warm, stage)
                    for stage in ("nlu", "dialogue", "knowledge", "generation", "journal", "total")
                },
            }
        )
    report("text_turns", "Text turns, medians", rows)


async def _asked(assistant: Assistant, questions: Sequence[Question]) -> list[Done]:
    return [await _done(assistant, TurnRequest(q.text)) for q in questions]


async def _done(assistant: Assistant, request: TurnRequest) -> Done:
    events = [event async for event in assistant.turn(request)]
    return next(event for event in events if isinstance(event, Done))


def _median(turns: Sequence[Done], stage: str) -> float:
    return round(statistics.median(t.timings_ms.get(stage, 0.0) for t in turns), 1)


async def _voice_turns(assistant: Assistant, rooms: Rooms) -> None:
    spoken = recordings(rooms)
    streamed: list[float] = []
    one_by_one: list[float] = []
    asr: list[float] = []
    for number in range(ROUNDS + 1):
        for _, audio in spoken:
            forget_speech(rooms)
            together, heard_ms = await _to_first_audio(assistant, audio)
            forget_speech(rooms)
            apart = await _one_after_the_other(assistant, rooms, audio)
            if number:
                streamed.append(together)
                one_by_one.append(apart)
                asr.append(heard_ms)
    ratios = [a / b for a, b in zip(streamed, one_by_one, strict=True)]
    report(
        "voice_turns",
        "Voice turns: end of speech to first audio, medians, speech cache emptied before each",
        [
            {
                "streamed ms": round(statistics.median(streamed)),
                "one after the other ms": round(statistics.median(one_by_one)),
                "median ratio": round(statistics.median(ratios), 3),
                "bound": 0.5,
                "of it recognition ms": round(statistics.median(asr)),
                "turns": len(streamed),
            }
        ],
    )


def forget_speech(rooms: Rooms) -> None:
    """Empty the speech cache, so that every turn synthesises its reply."""
    with rooms.engines.tts.use() as synthesizer:
        assert isinstance(synthesizer, SpeechRouter)
        synthesizer.forget()


async def _to_first_audio(assistant: Assistant, audio: bytes) -> tuple[float, float]:
    start = time.perf_counter()
    first = 0.0
    heard_ms = 0.0
    async for event in assistant.turn(TurnRequest(audio=audio, speak=True)):
        if isinstance(event, Speech) and not first:
            first = (time.perf_counter() - start) * 1000
        if isinstance(event, Done):
            heard_ms = event.timings_ms["asr"]
    return first, heard_ms


async def _one_after_the_other(assistant: Assistant, rooms: Rooms, audio: bytes) -> float:
    start = time.perf_counter()
    heard = await asyncio.to_thread(rooms.transcribe, audio, None)
    done = await _done(assistant, TurnRequest(heard.text, language=heard.language))
    await asyncio.to_thread(rooms.say_all, done.reply, done.language, "")
    return (time.perf_counter() - start) * 1000
