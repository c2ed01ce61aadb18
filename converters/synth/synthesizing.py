"""One pack → a folder of labelled lines and conversations, whole or absent.

::

    train.jsonl  valid.jsonl                    labelled lines
    replies/train.jsonl  replies/valid.jsonl    conversations, if the pack has passages
    report.json                                 what there is of each, and what was dropped and why
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from converters.errors import OptionError
from converters.evaluate.engines import check_model, model_digest
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from converters.synth.conversations import Conversations, make_conversations
from converters.synth.labelled import Labelled, Reword, make_labelled
from converters.synth.likeness import Exclusion
from converters.synth.lines import jsonl
from converters.synth.paraphrasing import Paraphraser
from converters.synth.phrases import PHRASES, languages, phrase_book
from converters.synth.settings import SynthSettings
from edge_runtime import __version__
from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.files import write_atomic
from edge_runtime.packs import Pack, load_pack, pack_digest

REPORT: Final = "report.json"
REPLIES: Final = "replies"
_NOTES: Final = ".paraphrases"


@dataclass(frozen=True, slots=True)
class Synthesized:
    """The folder made, and what its ``report.json`` says."""

    path: Path
    lines: int
    conversations: int
    report: Mapping[str, Any]


def synthesize(
    pack_dir: Path,
    out: Path,
    settings: SynthSettings | None = None,
    *,
    paraphraser: Path | None = None,
    exclude: Sequence[Path] = (),
    threads: int = 2,
    progress: Report = silent,
) -> Synthesized:
    """Write labelled lines and conversations for the pack in ``pack_dir``.

    The same arguments give the same bytes. A killed run leaves nothing at ``out``; started again
    with the same arguments, it keeps what the language model had reworded.

    Args:
        pack_dir: a domain pack.
        out: a folder that does not exist yet.
        settings: how much of what; the defaults where ``None``.
        paraphraser: a GGUF chat model, when the settings ask for paraphrases.
        exclude: files with texts that must not occur, exactly or nearly, such as test sets.
        threads: of the language model.
        progress: told how far it is.

    Raises:
        PackError: the pack is broken.
        OptionError: a setting is impossible, ``out`` exists, or another run writes it.
        DatasetError: a file of ``exclude`` cannot be read.
        ModelFileError: the paraphraser is no sound model.
        ConversionError: it crashed.
        StorageError: the disk is full or cannot be written.
    """
    settings = settings or SynthSettings()
    pack = load_pack(pack_dir)
    codes = settings.check(pack)
    if settings.paraphrases and paraphraser is None:
        raise OptionError(
            "Paraphrases need a language model to write them.",
            hint="Name a GGUF file as paraphraser, or ask for no paraphrases.",
        )
    model = _digest(paraphraser) if paraphraser and settings.paraphrases else ""
    exclusion = Exclusion.read(exclude)
    key = _key(pack, settings, model, exclude)
    with resumable_folder(out, key) as folder:
        reword: Reword = _as_it_is
        if model and paraphraser:
            notes = folder / _NOTES
            notes.mkdir(exist_ok=True)
            reword = Paraphraser(
                paraphraser, model, notes, exclusion, settings.paraphrases, settings.seed, threads,
                progress,
            )  # fmt: skip
        labelled = make_labelled(pack, settings, exclusion, reword, progress)
        books = [phrase_book(code) for code in codes if code in languages()]
        talks = make_conversations(pack, books, exclusion, settings.seed, progress)
        report = _report(pack, settings, labelled, talks, model=model, excluded=len(exclusion))
        _write(folder, labelled, talks, report)
    lines = len(labelled.train) + len(labelled.valid)
    return Synthesized(out, lines, len(talks.train) + len(talks.valid), report)


def _as_it_is(cells: object, seen: object) -> dict[tuple[str, str], list[Any]]:
    return {}


def _digest(model: Path) -> str:
    check_model(model)
    return model_digest(model)


def _key(pack: Pack, settings: SynthSettings, model: str, exclude: Sequence[Path]) -> str:
    parts = {
        "version": __version__,
        "pack": pack_digest(pack),
        "settings": asdict(settings),
        "model": model,
        "books": [sha256_of(PHRASES / f"{code}.yaml") for code in languages()],
        "exclude": sorted(sha256_of(file) for file in exclude),
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def _write(
    folder: Path, labelled: Labelled, talks: Conversations, report: Mapping[str, Any]
) -> None:
    for name, lines in (("train", labelled.train), ("valid", labelled.valid)):
        write_atomic(folder / f"{name}.jsonl", jsonl(line.as_json() for line in lines))
    for name, found in (("train", talks.train), ("valid", talks.valid)):
        if found:
            rows = jsonl(talk.as_json() for talk in found)
            write_atomic(folder / REPLIES / f"{name}.jsonl", rows)
    write_atomic(folder / REPORT, canonical_json(report))


def _report(
    pack: Pack,
    settings: SynthSettings,
    labelled: Labelled,
    talks: Conversations,
    *,
    model: str,
    excluded: int,
) -> dict[str, Any]:
    lines = [*labelled.train, *labelled.valid]
    said = [*talks.train, *talks.valid]
    return {
        "pack": {"name": pack.name, "version": pack.version},
        "settings": asdict(settings),
        "paraphraser": model,
        "excluded_texts": excluded,
        "lines": {
            "train": len(labelled.train),
            "valid": len(labelled.valid),
            "by_language": _counts(line.language for line in lines),
            "by_intent": _counts(line.intent for line in lines),
            "by_sentiment": _counts(line.sentiment for line in lines),
            "by_source": _counts(line.source for line in lines),
            "dropped": dict(labelled.dropped),
            "below_half": list(labelled.below_floor),
        },
        "conversations": {
            "train": len(talks.train),
            "valid": len(talks.valid),
            "by_language": _counts(talk.language for talk in said),
            "by_source": _counts(talk.kind for talk in said),
            "dropped": dict(talks.dropped),
        },
    }


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
