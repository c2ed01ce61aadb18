"""What one device has open: pack, engines, journal, and the rooms that are opened when needed."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from edge_runtime.bundles.running import RunningBundle
from edge_runtime.config import Settings
from edge_runtime.dialogue import Dialogue
from edge_runtime.engines import EnginePool
from edge_runtime.errors import EdgeRuntimeError, StorageError
from edge_runtime.guard import Guard
from edge_runtime.journal import Journal, open_journal
from edge_runtime.knowledge import KnowledgeBase, copy_index
from edge_runtime.nlu import Understander
from edge_runtime.packs import Pack, load_pack
from edge_runtime.shopfiles import shop_files
from edge_runtime.wiring import Engines, PooledEmbedder

logger = logging.getLogger(__name__)


class OpenedRooms:
    """Opens what the stages work with, and closes it.

    Args:
        settings: the device's settings.
        journal: whether turns will be kept; commands that run a single stage need none.
        bundle: whose models, and pack of the configured name, are used where it has some.
        pool: the memory budget to share with rooms that these are to replace.

    Raises:
        PackError: the domain pack is broken.
        ConfigError: a privacy setting is wrong.
        StorageError: the data folder cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        journal: bool = True,
        bundle: RunningBundle | None = None,
        pool: EnginePool | None = None,
    ) -> None:
        self.settings = settings
        self.bundle = bundle
        released = bundle.parts.packs.get(settings.pack) if bundle else None
        self.pack: Pack = load_pack(released or settings.pack_dir)
        self.engines = Engines(settings, self.pack, bundle, pool)
        self._opening = threading.RLock()
        self._prepared = False
        self._closed = False
        self._journal = open_journal(settings.data_dir) if journal else None

    def close(self) -> None:
        with self._opening:
            if self._closed:
                return
            self._closed = True
            if "knowledge" in self.__dict__:
                self.knowledge.close()
            if self._journal:
                self._journal.close()
            self.engines.close()

    # ---- what is opened when first needed ----

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            raise StorageError("This command keeps no journal.")
        return self._journal

    @property
    def _derived(self) -> Path:
        """What can be computed again from models and packs: classifiers, indexes."""
        return self.settings.models_dir / "derived"

    @cached_property
    def embedder(self) -> PooledEmbedder:
        return PooledEmbedder(self.engines.encoder)

    @cached_property
    def understander(self) -> Understander:
        task = self.engines.heads.task
        student = (self.embedder, task.labels) if task else None
        return Understander(self.pack, self.embedder, self._derived, student=student)

    @cached_property
    def dialogue(self) -> Dialogue:
        self._make_data_dir()
        return Dialogue.open(self.pack, self.settings.data_dir)

    @cached_property
    def guard(self) -> Guard:
        return Guard(self.pack.lexicon)

    @cached_property
    def knowledge(self) -> KnowledgeBase:
        return KnowledgeBase(
            self._index_path(), self.embedder, fingerprint=self.embedder.fingerprint
        )

    def _index_path(self) -> Path:
        """The pack's index lies beside the models; a shop with files of its own has a copy."""
        place = hashlib.sha256(str(self.pack.root).encode()).hexdigest()[:12]
        common = self._derived / f"knowledge-{self.pack.name}-{place}.db"
        if not shop_files(self.settings):
            return common
        own = self.settings.data_dir / f"knowledge-{self.pack.name}.db"
        if common.is_file() and not own.is_file():
            self._make_data_dir()
            copy_index(common, own)
        return own

    def _make_data_dir(self) -> None:
        try:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.settings.data_dir} cannot be made: {error.strerror}.",
                hint="Check its permissions or set EDGE_DATA_DIR to another folder.",
            ) from error

    def warm_up(self) -> None:
        """Open and load what the first turns need.

        Raises:
            PackError, ModelError, EngineError, StorageError: a part of that does not work; the
                turn that needs it reports it too.
        """
        self.prepare()
        if self.engines.has_llm:
            with self.engines.llm.use() as model:
                model.smoke()

    def prepare(self, progress: Callable[[str, float], None] = lambda step, share: None) -> None:
        """Open everything a text turn needs; the first time, classifiers are trained and the
        knowledge is indexed.

        Raises:
            PackError, ModelMissingError, ModelCorruptError, EngineError, StorageError.
        """
        with self._opening:
            _ = self.guard, self.dialogue
            if not self._prepared:
                self.engines.derive()
                self.understander.prepare(progress)
                files = [*self.pack.knowledge_files, *shop_files(self.settings)]
                self.knowledge.sync(
                    files,
                    self.pack.root,
                    progress=lambda done, total: progress("knowledge", done / total),
                )
                self._prepared = True

    def keep_house(self) -> None:
        """What is due now and then: calls that waited for a connection, turns past their time.

        Problems are logged; the next round tries again.
        """
        try:
            self.dialogue.flush()
            if self._journal:
                self._journal.prune()
        except EdgeRuntimeError as error:
            logger.warning("%s", error)
