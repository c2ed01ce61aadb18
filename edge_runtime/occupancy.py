"""Which stages answer now: they may be changed between turns, and go once nobody is in them."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor

from edge_runtime.rooms import Rooms


class Occupancy:
    """The rooms in use.

    Args:
        rooms: those of now.
        executor: where rooms that the last turn has left are closed.
    """

    def __init__(self, rooms: Rooms, executor: Executor) -> None:
        self._rooms = rooms
        self._executor = executor
        self._users: Counter[Rooms] = Counter()
        self._changing = threading.Lock()

    @property
    def rooms(self) -> Rooms:
        """Those that the next turn will use."""
        return self._rooms

    def change(self, rooms: Rooms) -> None:
        """Use others from now on; the former ones are closed when their last turn is over."""
        with self._changing:
            former, self._rooms = self._rooms, rooms
            idle = not self._users[former]
        if idle:
            former.close()

    @contextlib.contextmanager
    def using(self) -> Iterator[Rooms]:
        """The rooms of now, which stay open until the block ends."""
        with self._changing:
            rooms = self._rooms
            self._users[rooms] += 1
        try:
            yield rooms
        finally:
            with self._changing:
                self._users[rooms] -= 1
                left = not self._users[rooms]
                if left:
                    del self._users[rooms]
                over = left and rooms is not self._rooms
            if over:
                self._executor.submit(rooms.close)
