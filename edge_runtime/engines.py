"""The engines of one device: loaded when first used, unloaded when memory is needed elsewhere.

The pool is the only place that knows a profile's memory budget. An engine in use is never
unloaded; of the idle ones the least recently used goes first.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from edge_runtime.errors import EdgeRuntimeError, EngineError
from edge_runtime.memory import resident_mb, return_free_memory


class Engine(Protocol):
    """What the pool asks of every engine."""

    def close(self) -> None: ...

    def smoke(self) -> None: ...


E = TypeVar("E", bound=Engine)


class EngineSlot(Generic[E]):
    """One engine that may or may not be in memory.

    Args:
        name: the stage it serves, for messages.
        load: makes the engine; raises from the project's error tree.
        cost_mb: memory it is expected to need, in MiB.
        pool: told before a load so that it can make room.
        pinned: never unloaded once loaded.
        external: a program of its own, which takes its memory anew at every use.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], E],
        *,
        cost_mb: int,
        pool: EnginePool,
        pinned: bool,
        external: bool,
    ) -> None:
        self.name = name
        self.cost_mb = cost_mb
        self.pinned = pinned
        self._external = external
        self.last_used = 0.0
        self._load = load
        self._pool = pool
        self._engine: E | None = None
        self._users = 0
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def use(self) -> Iterator[E]:
        """The engine, loaded if need be and kept in memory until the block ends.

        Raises:
            ModelMissingError, ModelCorruptError, EngineError: it cannot be loaded.
        """
        with self._lock:
            if self._engine is not None and self._external:
                self._pool.make_room(self)
            engine = self._engine or self._loaded()
            self._users += 1
        try:
            yield engine
        finally:
            with self._lock:
                self._users -= 1
                self.last_used = time.monotonic()

    @property
    def loaded(self) -> bool:
        return self._engine is not None

    def unload(self) -> bool:
        """Free the engine's memory; False when it is in use or not loaded."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._engine is None or self._users:
                return False
            self._engine.close()
            self._engine = None
        finally:
            self._lock.release()
        gc.collect()
        return_free_memory()
        return True

    def _loaded(self) -> E:
        self._pool.make_room(self)
        try:
            self._engine = self._load()
        except EdgeRuntimeError:
            raise
        except (ImportError, OSError, RuntimeError, ValueError, MemoryError) as error:
            raise EngineError(
                f"The {self.name} engine cannot be loaded: {error}.",
                hint="Run 'edge-runtime doctor'.",
            ) from error
        return self._engine


class EnginePool:
    """All engines of the process under one memory budget, in MiB."""

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self._slots: list[EngineSlot[Engine]] = []
        self._lock = threading.Lock()

    def slot(
        self,
        name: str,
        load: Callable[[], E],
        *,
        cost_mb: int,
        pinned: bool = False,
        external: bool = False,
    ) -> EngineSlot[E]:
        """Register an engine; nothing is loaded yet."""
        created = EngineSlot(
            name, load, cost_mb=cost_mb, pool=self, pinned=pinned, external=external
        )
        self._slots.append(created)  # type: ignore[arg-type]
        return created

    def make_room(self, wanted: EngineSlot[E]) -> None:
        """Unload idle engines until ``wanted`` fits, least recently used first."""
        with self._lock:
            idle = [s for s in self._slots if s is not wanted and s.loaded and not s.pinned]
            for slot in sorted(idle, key=lambda s: s.last_used):
                if resident_mb() + wanted.cost_mb <= self.memory_mb:
                    return
                slot.unload()

    def close(self, slots: Sequence[EngineSlot[Any]] | None = None) -> None:
        """Free ``slots``, by default all, for good; others that share the budget stay.

        One that a cancelled turn still uses goes when room is made next.
        """
        slots = self._slots if slots is None else slots
        for slot in slots:
            slot.pinned = False
            slot.unload()
        with self._lock:
            self._slots = [s for s in self._slots if s not in slots or s.loaded]
