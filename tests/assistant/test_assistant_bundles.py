"""The assistant answers with the bundle of its active slot, and changes between turns."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from assistant_kit import QUESTION, ask, collect
from bundle_slots import device, fill, heads, slots_of

from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.bundles.running import Parts
from edge_runtime.bundles.slots import Slots
from edge_runtime.config import Settings
from edge_runtime.errors import ModelCorruptError
from edge_runtime.rooms import Rooms
from edge_runtime.running import Run
from edge_runtime.serving import BundleKeeper, prepared_rooms
from edge_runtime.turn import Done, Understanding


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return device(tmp_path)


@pytest.fixture
def slots(settings: Settings) -> Slots:
    return slots_of(settings)


@pytest.fixture
def assistant(settings: Settings, slots: Slots) -> Iterator[Assistant]:
    """Serves with bundle 1, which was kept."""
    fill(slots, "1", heads())
    slots.commit()
    opened = Assistant(settings, rooms=prepared_rooms(settings, slots))
    yield opened
    opened.close()


def answered_by(assistant: Assistant) -> list[str]:
    turns = assistant.rooms.journal.turns_since(0, limit=100)
    return [turn.models["bundle"].split()[1] for _, turn in turns]


def test_a_device_answers_with_the_heads_of_its_bundle_and_proves_it(
    assistant: Assistant, slots: Slots
) -> None:
    assert slots.state.failed_starts == 1
    assert "bundle retail 1" in assistant.rooms.engines.heads.reason
    assert slots.proved is None
    BundleKeeper(assistant, slots).look()
    assert ask(assistant, QUESTION).intent == "return_policy"
    assert answered_by(assistant) == ["1"]
    assert slots.state.failed_starts == 0
    assert slots.proved is not None
    assert slots.proved.sha256 == slots.manifest("a").digest


def test_a_new_bundle_answers_the_next_turn_and_the_conversation_goes_on(
    assistant: Assistant, slots: Slots
) -> None:
    keeper = BundleKeeper(assistant, slots)
    keeper.look()
    first = ask(assistant, QUESTION, session="s")
    manifest = fill(slots, "2", heads(note_txt=b"2"))
    former = assistant.rooms
    keeper.look()
    again = ask(assistant, "Can you repeat that?", session="s")
    assert answered_by(assistant) == ["1", "2"]
    assert again.reply == first.reply
    assert assistant.rooms is not former
    assert slots.proved is not None
    assert slots.proved.sha256 == manifest.digest
    assert slots.state.on_trial


def test_a_turn_under_way_ends_with_the_bundle_it_began_with(
    assistant: Assistant, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = BundleKeeper(assistant, slots)
    keeper.look()
    fill(slots, "2", heads(note_txt=b"2"))
    under_way, changed = threading.Event(), threading.Event()
    understand = Rooms.understand

    def wait(rooms: Rooms, run: Run) -> Understanding:
        found = understand(rooms, run)
        under_way.set()
        assert changed.wait(60)
        return found

    monkeypatch.setattr(Rooms, "understand", wait)
    former = assistant.rooms

    async def turn_and_change() -> Done:
        turn = asyncio.create_task(collect(assistant, TurnRequest(QUESTION)))
        await asyncio.to_thread(under_way.wait, 60)
        await asyncio.to_thread(keeper.look)
        assert assistant.rooms is not former
        changed.set()
        return next(event for event in await turn if isinstance(event, Done))

    assert asyncio.run(turn_and_change()).reply
    ask(assistant, QUESTION)
    assert answered_by(assistant) == ["1", "2"]


def test_a_bundle_that_does_not_load_while_serving_is_taken_back_after_three_tries(
    assistant: Assistant, slots: Slots
) -> None:
    keeper = BundleKeeper(assistant, slots)
    keeper.look()
    fill(slots, "2", heads(task_onnx=b"no network at all"))
    for _ in range(4):
        assert ask(assistant, QUESTION).reply
        keeper.look()
    assert not slots.state.on_trial
    assert slots.state.fallen == "b"
    assert answered_by(assistant) == ["1"] * 4
    assert slots.proved is not None
    assert slots.proved.version == "1"


def test_at_a_start_a_bundle_that_does_not_load_gives_way_to_the_last_good_one(
    settings: Settings, slots: Slots
) -> None:
    fill(slots, "1", heads())
    slots.commit()
    fill(slots, "2", heads(labels_json=b"{}"))
    rooms = prepared_rooms(settings, slots)
    assert rooms.bundle is not None
    assert rooms.bundle.manifest.version == "1"
    rooms.close()


def test_without_a_good_bundle_the_models_that_came_along_run(
    settings: Settings, slots: Slots
) -> None:
    fill(slots, "1", heads(labels_json=b"{}"))
    rooms = prepared_rooms(settings, slots)
    assert rooms.bundle is None
    rooms.close()


def test_a_full_disk_is_not_held_against_the_bundle(
    settings: Settings, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_runtime.errors import StorageError

    def full(rooms: Rooms, progress: object) -> None:
        raise StorageError("The disk is full.")

    fill(slots, "1", heads())
    monkeypatch.setattr(Rooms, "prepare", full)
    for _ in range(4):
        with pytest.raises(StorageError):
            prepared_rooms(settings, slots)
    assert slots.state.active == "a"


def test_a_bundle_that_kills_the_process_at_its_start_three_times_is_taken_back(
    settings: Settings, slots: Slots
) -> None:
    fill(slots, "1", heads())
    slots.commit()
    fill(slots, "2", heads(note_txt=b"kills"))
    dies = (
        "import os, signal\n"
        "from edge_runtime.rooms import Rooms\n"
        "from edge_runtime.commands.serve import serve\n"
        "def prepare(rooms, progress=None):\n"
        "    if rooms.bundle is not None and rooms.bundle.manifest.version == '2':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    print('serves', rooms.bundle.manifest.version)\n"
        "    raise SystemExit(0)\n"
        "Rooms.prepare = prepare\n"
        "serve(profile='lite', port=%d)\n"
    )
    environment = {
        **os.environ,
        "EDGE_DATA_DIR": str(settings.data_dir),
        "EDGE_MODELS_DIR": str(settings.models_dir),
    }

    def start() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", dies % _free_port()]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    ends = [start() for _ in range(4)]
    assert [end.returncode for end in ends] == [-signal.SIGKILL] * 3 + [0], ends[-1].stderr
    assert ends[-1].stdout.strip() == "serves 1"
    assert slots.state.fallen == "b"


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_parts_of_a_bundle_are_found_in_whatever_folder_they_lie(tmp_path: Path) -> None:
    names = ("nlu/labels.json", "nlu/task.onnx", "llm/model.Q8_0.gguf", "llm/adapter.gguf",
             "pack/retail/pack.toml", "pack/retail/labels.json")  # fmt: skip
    parts = Parts.of({name: tmp_path / name for name in names})
    assert parts.heads["labels.json"] == tmp_path / "nlu/labels.json"
    assert parts.llm["model.gguf"] == tmp_path / "llm/model.Q8_0.gguf"
    assert parts.llm["adapter.gguf"] == tmp_path / "llm/adapter.gguf"
    assert parts.packs == {"retail": tmp_path / "pack/retail"}
    assert not parts.encoder


@pytest.mark.parametrize("names", [("a.gguf", "b.gguf"), ("adapter.gguf",)])
def test_two_language_models_or_an_adapter_alone_are_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(ModelCorruptError):
        Parts.of({name: tmp_path / name for name in names})
