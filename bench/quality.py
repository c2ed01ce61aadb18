"""Quality of the stages: on the project's own test utterances, and on public sets where at hand.

``EDGE_BENCH_DATA`` names a folder with the public sets; each that is missing is said so.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jiwer

from bench.report import report
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.config import load_settings
from edge_runtime.rooms import Rooms
from edge_runtime.turn import OUT_OF_SCOPE, Done

DATA = Path(__file__).parent / "data"
CONFIDENT = 0.7
SPEECH_SETS = (("speech_zh_aishell_sample", "CER"), ("speech_multi_home_commands", "WER"))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        settings = load_settings(profile="standard", data_dir=Path(scratch))
        rooms = Rooms(settings)
        rooms.prepare()
        assistant = Assistant(settings, rooms=rooms)
        _intents(rooms)
        asyncio.run(_answers(assistant))
        _public(rooms)
        assistant.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _intents(rooms: Rooms) -> None:
    rows = []
    tests = lines(DATA / "retail_test.jsonl")
    for language in ("zh", "en", "es"):
        of_language = [t for t in tests if t["language"] == language]
        found = rooms.understand_many([t["text"] for t in of_language], [None] * len(of_language))
        pairs = list(zip(of_language, found, strict=True))
        inside = [(t, u) for t, u in pairs if t["intent"] != OUT_OF_SCOPE]
        outside = [u for t, u in pairs if t["intent"] == OUT_OF_SCOPE]
        acted = [(t, u) for t, u in pairs if u.intent_confidence >= CONFIDENT]
        rows.append(
            {
                "language": language,
                "in scope": len(inside),
                "intent right": _share(u.intent == t["intent"] for t, u in inside),
                "right and confident": _share(
                    u.intent == t["intent"] and u.intent_confidence >= CONFIDENT for t, u in inside
                ),
                "of the confident, right": _share(u.intent == t["intent"] for t, u in acted),
                "out of scope": len(outside),
                "refused": _share(
                    u.intent == OUT_OF_SCOPE or u.intent_confidence < CONFIDENT for u in outside
                ),
            }
        )
    report("intents", "Intents on retail test utterances", rows)


async def _answers(assistant: Assistant) -> None:
    questions = lines(DATA / "retail_answers_dev.jsonl")
    right: dict[str, list[bool]] = {}
    for question in questions:
        events = [e async for e in assistant.turn(TurnRequest(question["text"]))]
        done = next(event for event in events if isinstance(event, Done))
        right.setdefault(question["language"], []).append(question["source"] in done.sources[:1])
    report(
        "answers",
        "Answered from the right passage (questions used in development)",
        [
            {"language": language, "questions": len(hits), "right passage first": _share(hits)}
            for language, hits in right.items()
        ],
    )


def _public(rooms: Rooms) -> None:
    root = Path(os.environ.get("EDGE_BENCH_DATA", ""))
    rows = [*_speech(rooms, root), *_receipts(rooms, root)]
    report("public", "Public sets", rows)


def _speech(rooms: Rooms, root: Path) -> Iterator[dict[str, Any]]:
    for name, measure in SPEECH_SETS:
        manifest = root / name / "manifest.jsonl"
        if not manifest.is_file():
            yield {"set": name, "measure": measure, "items": 0, "value": "not at hand"}
            continue
        clips = [c for c in lines(manifest) if c.get("text")]
        clips = [c for c in clips if (manifest.parent / c["audio"]).is_file()]
        if measure == "WER":
            clips = [c for c in clips if c["lang"] in {"en", "es", "fr", "de", "it"}]
        wanted, heard = [], []
        for clip in clips:
            said = rooms.transcribe(manifest.parent / clip["audio"], clip["lang"][:2]).text
            wanted.append(_spoken(clip["text"], measure))
            heard.append(_spoken(said, measure))
        rate = jiwer.wer(wanted, heard)
        yield {"set": name, "measure": measure, "items": len(clips), "value": round(rate, 3)}


def _spoken(text: str, measure: str) -> str:
    """Letters and digits only; for a character error rate, each a word of its own."""
    plain = "".join(
        c if unicodedata.category(c)[0] in "LN" else " "
        for c in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join(plain.replace(" ", "")) if measure == "CER" else " ".join(plain.split())


def _receipts(rooms: Rooms, root: Path) -> Iterator[dict[str, Any]]:
    manifest = root / "ocr_sroie_receipts" / "manifest.jsonl"
    if not manifest.is_file():
        yield {"set": "ocr_sroie_receipts", "measure": "total", "items": 0, "value": "not at hand"}
        return
    receipts = [r for r in lines(manifest) if (manifest.parent / r["image"]).is_file()]
    totals = []
    for receipt in receipts:
        fields = rooms.read(manifest.parent / receipt["image"], "en").fields
        totals.append(_amount(fields.get("total", "")) == _amount(receipt["key"]["total"]))
    yield {
        "set": "ocr_sroie_receipts",
        "measure": "total right",
        "items": len(totals),
        "value": _share(totals),
    }


def _amount(text: str) -> str:
    found = re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))
    return f"{float(found[-1]):.2f}" if found else ""


def _share(values: Any) -> float:
    hits = list(values)
    return round(sum(hits) / len(hits), 3) if hits else 0.0
