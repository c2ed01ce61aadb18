"""Which engine serves which stage on this device: the only place that names them all."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.bundles import Catalogue, ModelStore, shipped_files, shipped_folder
from edge_runtime.bundles.running import RunningBundle
from edge_runtime.config import Profile, Settings
from edge_runtime.engines import E, EnginePool, EngineSlot
from edge_runtime.errors import ModelMissingError
from edge_runtime.packs import Pack

if TYPE_CHECKING:
    from edge_runtime.asr import Recognizer
    from edge_runtime.generation import LanguageModel
    from edge_runtime.nlu import Choice, Encoder
    from edge_runtime.nlu.base import TextKind, Vectors
    from edge_runtime.nlu.network import TaskOutput
    from edge_runtime.ocr import TextReader
    from edge_runtime.tts import Synthesizer

COST_MB = {"encoder": 120, "asr": 210, "ocr": 420, "tts": 500, "llm": 600}
"""What a stage's engine adds at its worst moment, MiB; measured by bench/memory.py."""
LITE_COST_MB = {"ocr": 100, "tts": 20}
"""Engines that run as programs of their own: what those programs take while they run."""

WHISPER_LANGUAGES = (
    "zh", "en", "es", "fr", "de", "ja", "ko", "pt", "it", "ru", "ar", "hi", "id", "th", "tr", "vi",
)  # fmt: skip


class Engines:
    """The engine slots of one profile. Opening this loads nothing.

    Args:
        settings: the device's settings.
        pack: the domain pack.
        bundle: whose models are used where it has some, instead of those that came along.
        pool: the memory budget to share with engines that are about to be replaced.
    """

    def __init__(
        self,
        settings: Settings,
        pack: Pack,
        bundle: RunningBundle | None = None,
        pool: EnginePool | None = None,
    ) -> None:
        self.profile: Profile = settings.engines
        self.store = ModelStore(settings.models_dir, Catalogue.load())
        self.pool = pool or EnginePool(self.profile.memory_mb)
        self.bundle = bundle
        self._settings = settings
        self._pack = pack
        # Only the smallest device needs even the encoder to make room while others load.
        self.encoder = self._slot("encoder", self._encoder, pinned=self.profile.name != "lite")
        self.asr = self._slot("asr", self._recognizer)
        self.ocr = self._slot("ocr", self._reader)
        self.tts = self._slot("tts", self._synthesizer)
        self.llm = self._slot("llm", self._model)

    @property
    def has_llm(self) -> bool:
        return bool(self.profile.llm)

    def derive(self) -> None:
        """Make ahead of time what engines make of their models at the first load."""
        with contextlib.suppress(ModelMissingError):
            self._small(self.store.files(self.profile.asr))

    def close(self) -> None:
        self.pool.close((self.encoder, self.asr, self.ocr, self.tts, self.llm))

    def _slot(self, stage: str, load: Callable[[], E], *, pinned: bool = False) -> EngineSlot[E]:
        external = getattr(self.profile, stage) in {"tesseract", "espeak-ng"}
        cost = LITE_COST_MB[stage] if external else COST_MB[stage]
        return self.pool.slot(stage, load, cost_mb=cost, pinned=pinned, external=external)

    @property
    def encoder_files(self) -> Mapping[str, Path]:
        """The encoder of the bundle, else the one that came with the package.

        Raises:
            ModelMissingError, ModelCorruptError: it is gone or damaged.
        """
        if self.bundle is not None and self.bundle.parts.encoder:
            return self.bundle.parts.encoder
        return shipped_files(self.profile.encoder)

    @cached_property
    def heads(self) -> Choice:
        """Trained heads: the bundle's, else those that came with the encoder for this pack, where
        its examples are theirs.

        Raises:
            ModelMissingError, ModelCorruptError: they came, but are damaged.
        """
        from edge_runtime.nlu import Choice, choose_task, released_task

        if self.bundle is not None and self.bundle.parts.heads:
            task = released_task(self.bundle.parts.heads, self._pack)
            return Choice(task, f"heads of bundle {self.bundle.label}")
        return choose_task(self._for_pack(self.profile.encoder), self._pack)

    def _encoder(self) -> Encoder:
        from edge_runtime.nlu import Encoder

        return Encoder(self.encoder_files, self._settings.threads, self.heads.task)

    def _recognizer(self) -> Recognizer:
        from edge_runtime.asr.registry import load_recognizer

        languages = tuple(dict.fromkeys((*self._pack.languages, *WHISPER_LANGUAGES)))
        return load_recognizer(
            self.profile.asr,
            self._small(self.store.files(self.profile.asr)),
            threads=self._settings.threads,
            languages=languages,
        )

    def _small(self, files: Mapping[str, Path]) -> Mapping[str, Path]:
        """The same speech model with 8-bit weights, made once; the others stay as they are."""
        from edge_runtime.asr.shrink import shrunk

        model = files.get("model.bin")
        if model is None:
            return files
        with model.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()[:16]
        folder = self._settings.models_dir / "derived" / f"{self.profile.asr}-int8-{digest}"
        small = shrunk(model, folder / "model.bin")
        for name, path in files.items():
            if name != "model.bin" and not (folder / name).exists():
                (folder / name).symlink_to(path.resolve())
        return {name: folder / name if name != "model.bin" else small for name in files}

    def _reader(self) -> TextReader:
        from edge_runtime.ocr import create_reader

        return create_reader(self.profile.ocr, threads=self._settings.threads)

    def _synthesizer(self) -> Synthesizer:
        from edge_runtime.tts import SpeechRouter, open_synthesizer

        fallback = open_synthesizer("espeak-ng", {}, 1)
        if self.profile.tts == "espeak-ng":
            return SpeechRouter(fallback)
        files: Mapping[str, Path] = self.store.files(self.profile.tts)
        return SpeechRouter(
            open_synthesizer(self.profile.tts, files, self._settings.threads), fallback
        )

    def _model(self) -> LanguageModel:
        from edge_runtime.generation.registry import load_language_model

        files = self.bundle.parts.llm if self.bundle is not None else {}
        if not files:
            adapter = self._for_pack(self.profile.llm) or {}
            files = {**self.store.files(self.profile.llm), **adapter}
        return load_language_model(files, threads=self._settings.threads)

    def _for_pack(self, model: str) -> Mapping[str, Path] | None:
        """What came along to fit ``model`` to this pack, if something did."""
        name = f"{model}-{self._pack.name}"
        return shipped_files(name) if shipped_folder(name) else None


class PooledEmbedder:
    """The encoder as the understanding and the knowledge rooms see it: there when needed."""

    def __init__(self, slot: EngineSlot[Encoder]) -> None:
        self._slot = slot
        self._fingerprint = ""
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        with self._lock:
            if not self._fingerprint:
                with self._slot.use() as encoder:
                    self._fingerprint = encoder.fingerprint
            return self._fingerprint

    def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        with self._slot.use() as encoder:
            return encoder.encode(texts, kind)

    def understand(self, texts: Sequence[str]) -> list[TaskOutput]:
        with self._slot.use() as encoder:
            return encoder.understand(texts)
