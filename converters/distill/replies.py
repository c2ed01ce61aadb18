"""The teacher's replies to the prompts of a data set, kept with their provenance."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.child import tell_progress
from converters.children import run_module
from converters.distill.conversations import Conversation, Message
from converters.distill.settings import DistillSettings
from converters.errors import ConversionError
from converters.progress import Report
from edge_runtime.files import atomic_writer

__all__ = ["Message", "Teacher", "answer_all", "collect_replies"]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that replies: ``path`` is a GGUF file or a Hugging Face folder."""

    path: Path
    digest: str
    """sha256 of its weights, for the provenance of what it says."""

    @property
    def module(self) -> str:
        kind = "torch" if self.path.is_dir() else "llama"
        return f"converters.distill.teacher_{kind}"


def collect_replies(
    teacher: Teacher,
    conversations: Sequence[Conversation],
    data: Path,
    folder: Path,
    settings: DistillSettings,
    *,
    threads: int,
    progress: Report,
) -> Path:
    """Let the teacher reply to each prompt once; returns ``folder/replies.jsonl``.

    Each line is a conversation that ends with the teacher's reply, greedily chosen; replies that it
    did not finish within ``settings.max_reply`` tokens are left out. What a killed run already got
    is kept.

    Raises:
        ConversionError: the teacher crashed, or finished no reply at all.
        OSError: the folder cannot be written.
    """
    kept = folder / "replies.jsonl"
    if kept.exists():
        return kept
    prompts, answers = folder / ".prompts.jsonl", folder / ".answers.jsonl"
    with atomic_writer(prompts) as file:
        for conversation in conversations:
            file.write(json.dumps(conversation.prompt).encode() + b"\n")
    job = {
        "teacher": str(teacher.path.resolve()),
        "prompts": str(prompts.resolve()),
        "replies": str(answers.resolve()),
        "max_length": settings.max_length,
        "max_reply": settings.max_reply,
        "threads": threads,
        "seed": settings.seed,
    }
    run_module(teacher.module, [json.dumps(job)], step="the teacher replies", progress=progress)
    found = 0
    with atomic_writer(kept) as file:
        for conversation, reply in zip(conversations, _lines(answers), strict=True):
            if isinstance(reply, str) and reply.strip():
                row = _row(conversation, reply.strip(), teacher, data)
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                found += 1
        if not found:
            raise ConversionError(
                f"The teacher finished none of its {len(conversations)} replies within "
                f"{settings.max_reply} tokens.",
                hint="Allow longer replies, or tune the teacher first.",
            )
    prompts.unlink()
    answers.unlink()
    return kept


def answer_all(
    prompts: Path,
    replies: Path,
    reply: Callable[[Sequence[Sequence[Message]]], list[str]],
    *,
    batch: int,
) -> None:
    """Append a reply for every prompt that has none yet; a line cut off by a kill is done again."""
    asked: list[Any] = list(_lines(prompts))
    done = sum(1 for _ in _lines(replies)) if replies.exists() else 0
    with replies.open("ab+") as file:
        file.truncate(_whole_bytes(replies))
        while done < len(asked):
            part = asked[done : done + batch]
            for text in reply(part):
                file.write(json.dumps(text).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            done += len(part)
            tell_progress(done, len(asked))


def _row(
    conversation: Conversation, reply: str, teacher: Teacher, data: Path
) -> Mapping[str, object]:
    return {
        "messages": [*conversation.prompt, {"role": "assistant", "content": reply}],
        "provenance": {
            "by": "teacher",
            "teacher": teacher.digest,
            "prompt": f"{data.name}:{conversation.line}",
        },
    }


def _lines(path: Path) -> Iterator[object]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _whole_bytes(path: Path) -> int:
    """Size of the file up to its last complete line."""
    return path.read_bytes().rfind(b"\n") + 1
