"""Base → adapter: on conversations, and then on which of two replies people preferred."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from converters.checkpoints import open_base
from converters.children import run_module
from converters.distill.conversations import read_conversations
from converters.distill.picture import draw_losses
from converters.errors import DatasetError
from converters.evaluate.engines import model_digest, model_size
from converters.lora.adapter import check_base, note_base, read_adapter
from converters.lora.pairs import read_pairs
from converters.lora.settings import LoraSettings, PreferenceSettings
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import require_space, sha256_of
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.files import write_atomic

Row = dict[str, Any]

LOSSES: Final = "losses.jsonl"
PICTURE: Final = "losses.png"
FACTS: Final = "training.json"
_HELD_OUT: Final = 20
_MOST_HELD_OUT: Final = 64
_MOST_LINES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Trained:
    """An adapter's folder and how training went.

    ``before`` and ``after`` are, on held-out lines, the nats a token of replies, or by how many
    nats preferred replies are likelier than the others. Where all lines say the same, they are
    measured on what was learnt. ``too_long`` lines, whose prompt alone fills ``max_length``, were
    left out.
    """

    path: Path
    lines: int
    too_long: int
    steps: int
    seconds: float
    before: float
    after: float


def train_lora(
    base: Path,
    data: Path,
    out: Path,
    settings: LoraSettings | None = None,
    *,
    threads: int = 2,
    progress: Report = silent,
) -> Trained:
    """Tune ``base`` on the replies in ``data``; only they count, not the prompts.

    Every twentieth conversation is held out to measure on. A killed run continues where it was
    when it is started again with the same arguments. Several graphics cards share the work.

    Args:
        base: a GGUF file or a Hugging Face folder; it is only read.
        data: conversations; see :func:`read_conversations`.
        out: a folder that does not exist yet.
        settings: how; the defaults where ``None``.
        threads: on a processor.
        progress: told how far it is.

    Raises:
        DatasetError: the data is broken, or holds no replies.
        ModelFileError: the base is unsafe or damaged.
        OptionError: ``out`` exists.
        ConversionError: training failed, such as for a module that the base does not have, or
            because no prompt leaves room for a reply.
        StorageError: the disk is full or cannot be written.
    """
    settings = settings or LoraSettings()
    rows = [
        {"messages": [*line.prompt, {"role": "assistant", "content": line.reply}]}
        for line in read_conversations(data)
        if line.reply
    ]
    if not rows:
        raise DatasetError("Nobody replies in these conversations.", file=data)
    key = _key("replies", model_digest(base), sha256_of(data), asdict(settings))
    with resumable_folder(out, key) as folder:
        job = {"way": "replies", "adapter": None, "settings": asdict(settings)}
        return _fit(folder, out, base, rows, job, threads, progress)


def train_preferences(
    base: Path,
    adapter: Path,
    data: Path,
    out: Path,
    settings: PreferenceSettings | None = None,
    *,
    threads: int = 2,
    progress: Report = silent,
) -> Trained:
    """Go on from ``adapter`` with the rated replies in ``data``; see :func:`read_pairs`.

    Args:
        base: what the adapter was trained on.
        adapter: what :func:`train_lora` wrote.
        data: pairs or rated replies.
        out: a folder that does not exist yet.
        settings: how; the defaults where ``None``.
        threads: on a processor.
        progress: told how far it is.

    Raises:
        DatasetError: the data is broken, or says nothing of which reply is better.
        ModelFileError: base or adapter is unsafe, damaged, or they do not belong together.
        OptionError: ``out`` exists.
        ConversionError: training failed.
        StorageError: the disk is full or cannot be written.
    """
    settings = settings or PreferenceSettings()
    read_adapter(adapter)
    check_base(adapter, base)
    rows = [
        {"messages": list(pair.prompt), "chosen": pair.chosen, "rejected": pair.rejected}
        for pair in read_pairs(data)
    ]
    tuned = sha256_of(read_adapter(adapter).weights)
    key = _key("preferences", model_digest(base), tuned, sha256_of(data), asdict(settings))
    with resumable_folder(out, key) as folder:
        job = {
            "way": "preferences",
            "adapter": str(adapter.resolve()),
            "settings": asdict(settings),
        }
        return _fit(folder, out, base, rows, job, threads, progress)


def _fit(
    folder: Path,
    out: Path,
    base: Path,
    rows: Sequence[Row],
    job: dict[str, Any],
    threads: int,
    progress: Report,
) -> Trained:
    opened = open_base(base, folder / ".base", progress=progress)
    kept, held = _split(rows)
    _write_rows(folder / ".held.jsonl", held)
    _write_rows(folder / ".train.jsonl", kept)
    made, measured = folder / ".made", folder / ".measured.json"
    if not made.exists():
        require_space(folder, model_size(opened) // 4)
        paths = {
            "base": opened,
            "data": folder / ".train.jsonl",
            "held": folder / ".held.jsonl",
            "out": made,
            "scratch": folder / ".checkpoints",
            "losses": folder / LOSSES,
            "measured": measured,
        }
        whole = {**job, **{name: str(path.resolve()) for name, path in paths.items()}}
        run_module(
            "converters.lora.fit",
            [json.dumps({**whole, "threads": threads})],
            step="tuning",
            progress=progress,
            on_every_card=True,
        )
    for path in made.iterdir():
        path.rename(folder / path.name)
    note_base(folder, base)
    found = json.loads(measured.read_bytes())
    draw_losses({"loss": folder / LOSSES}, folder / PICTURE)
    *_, last = (folder / LOSSES).read_text("utf-8").splitlines()
    facts = {"settings": job["settings"], **found, "loss": json.loads(last)["loss"]}
    write_atomic(folder / FACTS, json.dumps(facts, indent=1).encode())
    told = ("lines", "too_long", "steps", "seconds", "before", "after")
    return Trained(out, **{name: found[name] for name in told})


def _split(rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    """What to learn from and what to measure on; the same where the data says one thing only."""
    held = rows[_HELD_OUT - 1 :: _HELD_OUT][:_MOST_HELD_OUT] or rows[-1:]
    # Also other lines with the same messages: they would give away what is held out.
    known = {json.dumps(row["messages"]) for row in held}
    kept = [row for row in rows if json.dumps(row["messages"]) not in known] or rows
    return kept[:_MOST_LINES], held


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _key(*parts: object) -> str:
    return hashlib.sha256(canonical_json(list(parts))).hexdigest()
