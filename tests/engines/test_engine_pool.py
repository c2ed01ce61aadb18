"""The pool keeps the process under its memory budget without pulling engines from under a user."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from edge_runtime.engines import EnginePool, EngineSlot
from edge_runtime.errors import EngineError, ModelMissingError
from edge_runtime.memory import resident_mb

PATIENCE_S = 30


class Memory:
    """Resident memory as the tests would have it, in MiB."""

    def __init__(self) -> None:
        self.base = 100
        self.loaded: dict[str, int] = {}
        self.log: list[str] = []

    @property
    def resident(self) -> int:
        return self.base + sum(self.loaded.values())


class Toy:
    """An engine that takes memory while it is open."""

    def __init__(self, name: str, size: int, memory: Memory) -> None:
        self.name = name
        self.closed = False
        self._memory = memory
        memory.loaded[name] = size
        memory.log.append(f"+{name}")

    def smoke(self) -> None: ...

    def close(self) -> None:
        self.closed = True
        del self._memory.loaded[self.name]
        self._memory.log.append(f"-{self.name}")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    kept = Memory()
    monkeypatch.setattr("edge_runtime.engines.resident_mb", lambda: kept.resident)
    return kept


def slots(pool: EnginePool, memory: Memory, *names: str, size: int = 200) -> list[EngineSlot[Toy]]:
    def loader(name: str) -> Callable[[], Toy]:
        return lambda: Toy(name, size, memory)

    return [pool.slot(name, loader(name), cost_mb=size) for name in names]


def touch(slot: EngineSlot[Toy]) -> None:
    with slot.use():
        pass


def test_nothing_is_loaded_before_it_is_needed_and_then_once(memory: Memory) -> None:
    (slot,) = slots(EnginePool(1000), memory, "asr")
    assert not slot.loaded
    with slot.use() as first, slot.use() as second:
        assert first is second
    touch(slot)
    assert memory.log == ["+asr"]


def test_the_least_recently_used_goes_first(memory: Memory) -> None:
    one, two, three = slots(EnginePool(550), memory, "one", "two", "three")
    touch(one)
    touch(two)
    touch(one)
    touch(three)
    assert memory.log == ["+one", "+two", "-two", "+three"]
    assert memory.resident <= 550


def test_only_as_many_are_unloaded_as_needed(memory: Memory) -> None:
    one, two, three = slots(EnginePool(750), memory, "one", "two", "three")
    for slot in (one, two, three):
        touch(slot)
    assert memory.log == ["+one", "+two", "+three"]


def test_an_engine_in_use_is_never_unloaded(memory: Memory) -> None:
    one, two = slots(EnginePool(250), memory, "one", "two")
    with one.use() as busy:
        with two.use():
            assert not busy.closed
            assert one.loaded
        assert not one.unload()
    assert one.unload()
    assert not one.unload()


def test_a_pinned_engine_stays(memory: Memory) -> None:
    pool = EnginePool(250)
    pinned = pool.slot("encoder", lambda: Toy("encoder", 200, memory), cost_mb=200, pinned=True)
    (other,) = slots(pool, memory, "asr")
    touch(pinned)
    touch(other)
    assert pinned.loaded


def test_an_unloaded_engine_is_loaded_again_when_needed(memory: Memory) -> None:
    (slot,) = slots(EnginePool(1000), memory, "tts")
    with slot.use() as first:
        pass
    slot.unload()
    assert first.closed
    with slot.use() as second:
        assert second is not first
        assert not second.closed


def test_closing_the_pool_closes_every_engine(memory: Memory) -> None:
    pool = EnginePool(1000)
    for slot in slots(pool, memory, "one", "two"):
        touch(slot)
    pool.close()
    assert memory.loaded == {}


def test_many_threads_share_one_engine_loaded_once(memory: Memory) -> None:
    (slot,) = slots(EnginePool(1000), memory, "asr")
    ready = threading.Barrier(8, timeout=PATIENCE_S)
    seen: list[Toy] = []

    def work() -> None:
        ready.wait()
        with slot.use() as engine:
            seen.append(engine)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1
    assert memory.log == ["+asr"]


def test_two_engines_needing_room_at_once_do_not_wait_for_each_other_forever(
    memory: Memory,
) -> None:
    one, two = slots(EnginePool(250), memory, "one", "two")
    ready = threading.Barrier(2, timeout=PATIENCE_S)

    def work(slot: EngineSlot[Toy]) -> None:
        ready.wait()
        for _ in range(200):
            touch(slot)

    threads = [threading.Thread(target=work, args=(slot,), daemon=True) for slot in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


def test_a_failed_load_is_a_clear_error_and_is_tried_again(memory: Memory) -> None:
    attempts: list[int] = []

    def load() -> Toy:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("libfoo.so is missing")
        return Toy("ocr", 1, memory)

    slot = EnginePool(1000).slot("ocr", load, cost_mb=1)
    with pytest.raises(EngineError, match="libfoo") as caught:
        touch(slot)
    assert "doctor" in caught.value.hint
    touch(slot)
    assert slot.loaded


def test_a_missing_model_stays_the_error_it_is() -> None:
    def load() -> Toy:
        raise ModelMissingError("Model x is not on this device.", hint="Get it.")

    slot = EnginePool(1000).slot("asr", load, cost_mb=1)
    with pytest.raises(ModelMissingError, match="not on this device"):
        touch(slot)


def test_this_process_uses_some_memory() -> None:
    assert 5 < resident_mb() < 100_000


def test_room_is_made_for_a_program_of_its_own_at_every_use(memory: Memory) -> None:
    pool = EnginePool(550)
    program = pool.slot("ocr", lambda: Toy("ocr", 0, memory), cost_mb=300, external=True)
    (speech,) = slots(pool, memory, "asr")
    touch(program)
    touch(speech)
    touch(program)
    assert memory.log == ["+ocr", "+asr", "-asr"]
