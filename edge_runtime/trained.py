"""Heads from a bundle of ``edge-convert train-nlu``, on this device's encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.bundles import bundle_files, shipped_files
from edge_runtime.config import Settings
from edge_runtime.nlu import Encoder, Task, Understander, load_task
from edge_runtime.nlu.student import STUDENT_BASE
from edge_runtime.packs import Pack, load_pack
from edge_runtime.turn import GENERAL_INTENTS


@contextmanager
def opened_bundle(
    folder: Path, settings: Settings, base: Mapping[str, Path] | None = None
) -> Iterator[Understander]:
    """An understander that reads with the heads in ``folder``; closed when the block ends.

    The pack's words are looked for only where its intents are the bundle's: an intent set of
    another business has another language.

    Args:
        folder: ``manifest.json`` and ``files/``.
        settings: the device's settings.
        base: the files of the encoder; by default the student that comes with the package.

    Raises:
        ModelMissingError: there is no bundle, or no encoder.
        ModelCorruptError: a component is not what the manifest lists, or the heads were trained
            for another encoder.
        PackError: the domain pack is broken.
        EngineError: the encoder cannot run.
    """
    task = load_task(bundle_files(folder))
    with opened_heads(task, load_pack(settings.pack_dir), settings, base or {}) as understander:
        yield understander


@contextmanager
def opened_heads(
    task: Task, pack: Pack, settings: Settings, base: Mapping[str, Path]
) -> Iterator[Understander]:
    """The same for heads that were read already; an empty ``base`` is the shipped student.

    Raises:
        ModelMissingError, ModelCorruptError: there is no encoder, or the heads are not its own.
        EngineError: the encoder cannot run.
    """
    derived = settings.models_dir / "derived"
    encoder = Encoder(base or shipped_files(STUDENT_BASE), settings.threads, task)
    try:
        intents = set(task.labels.intents) - GENERAL_INTENTS
        yield Understander(
            pack,
            encoder,
            derived,
            student=(encoder, task.labels),
            lexical=intents <= pack.intents.keys(),
        )
    finally:
        encoder.close()
