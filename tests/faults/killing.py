"""Kills a process somewhere in a phase of its work, and says in which phase it died.

A child is forked from a prepared parent, so that a life costs no start of an interpreter. It calls
:meth:`Phases.enter` as it goes from phase to phase; where it comes to the one it is to die in, it
waits until the parent has begun to count, so that a busy machine does not kill it elsewhere. The
moment is drawn from as long as that phase last took; a phase that a busy machine let pass several
times is killed where it begins.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import ssl
import struct
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

_UNKNOWN_S = 0.01
_MISSES = 3
"""After so many kills in a row that came too late for a phase, the next does not let it go on."""


def share_one_context() -> None:
    """Most of the time that opening a client takes goes into reading the certificates it trusts;
    on loopback, without TLS, nobody uses them."""
    context = ssl.create_default_context()
    ssl.create_default_context = lambda *_, **__: context


class Phases:
    """The phase a child is in and how long each took, in memory that outlives the child.

    Args:
        names: the phases; a child begins in the first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._form = struct.Struct(f"qd{len(names)}d")
        self._memory = mmap.mmap(-1, self._form.size)
        self._store(0, 0.0, [_UNKNOWN_S] * len(names))
        self._target = -1
        self._missed: Counter[str | None] = Counter()
        self._reached = self._go = -1

    def begin(self) -> None:
        """A life begins, in the first phase."""
        self._store(0, time.monotonic(), self._read()[2:])
        self._wait_if_here()

    def enter(self, name: str) -> None:
        """The child goes over to another phase, and may be killed from here on."""
        phase, begun, *took = self._read()
        now = time.monotonic()
        took[phase] = now - begun
        self._store(self.names.index(name), now, took)
        self._wait_if_here()

    def entering(self, name: str, owner: Any, function: str) -> None:
        """Have every call of a function enter a phase."""
        self.watch(owner, function, lambda *_: self.enter(name))

    def watch(self, owner: Any, function: str, before: Callable[..., None]) -> None:
        """Have every call of a function preceded by another."""
        original = getattr(owner, function)

        def called(*args: Any, **kw: Any) -> Any:
            before(*args)
            return original(*args, **kw)

        setattr(owner, function, called)

    def killed_in(
        self, name: str | None, live: Callable[[], None], chance: random.Random
    ) -> str | None:
        """One life; the phase in which it was killed, or ``None`` where it came to its end first.

        Args:
            name: the phase it is to die in; ``None`` lets it live.

        Raises:
            SystemExit: the child failed on its own; its traceback is on standard error.
        """
        reached, self._reached = os.pipe()
        self._go, go = os.pipe()
        self._target = -1 if name is None else self.names.index(name)
        child = os.fork()
        if not child:
            os.close(reached)
            os.close(go)
            self._live(live)
        os.close(self._reached)
        os.close(self._go)
        try:
            if os.read(reached, 1):
                _, _, *took = self._read()
                if self._missed[name] < _MISSES:
                    os.write(go, b"!")
                    time.sleep(chance.uniform(0, took[self._target]))
                os.kill(child, signal.SIGKILL)
        finally:
            os.close(reached)
            os.close(go)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return None
        if status != -signal.SIGKILL:
            raise SystemExit(f"A child that was to die in phase {name} ended by itself: {status}.")
        died = self.names[self._read()[0]]
        self._missed[name] = 0 if died == name else self._missed[name] + 1
        return died

    def _live(self, live: Callable[[], None]) -> None:
        status = 1
        try:
            self.begin()
            live()
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)

    def _wait_if_here(self) -> None:
        if self._target == self._read()[0]:
            self._target = -1
            os.write(self._reached, b"!")
            os.read(self._go, 1)

    def _read(self) -> tuple[Any, ...]:
        return self._form.unpack(self._memory[:])

    def _store(self, phase: int, begun: float, took: Sequence[float]) -> None:
        self._memory[:] = self._form.pack(phase, begun, *took)
