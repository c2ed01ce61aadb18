"""Disks that are full or cannot be written: one clear sentence, and life goes on after."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from e2e.cli_kit import EDGE, PATIENT, environment, prepared_data

from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.config import load_settings
from edge_runtime.errors import StorageError
from edge_runtime.rooms import Rooms
from edge_runtime.turn import Done, Event

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("assistant")]


@pytest.fixture
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    data = prepared_data(tmp_path_factory, "storage")
    opened = Rooms(load_settings(profile="lite", data_dir=data, **PATIENT))
    opened.prepare()
    yield opened
    opened.close()


def turn(assistant: Assistant, text: str) -> list[Event]:
    async def collect() -> list[Event]:
        request = TurnRequest(text, session="till")
        return [event async for event in assistant.turn(request)]

    return asyncio.run(collect())


def journal_connection(rooms: Rooms) -> sqlite3.Connection:
    connection: sqlite3.Connection = rooms.journal._db.conn
    return connection


def test_a_full_disk_stops_the_turn_with_a_sentence_until_there_is_space(rooms: Rooms) -> None:
    assistant = Assistant(rooms.settings, rooms=rooms)
    assert isinstance(turn(assistant, "外套能退吗?")[-1], Done)
    connection = journal_connection(rooms)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="disk is full") as caught:
        for _ in range(200):
            turn(assistant, "bread can be returned?")
    assert caught.value.exit_code == 5
    assert caught.value.hint
    connection.execute("PRAGMA max_page_count = 1000000")
    done = turn(assistant, "面包能退吗?")[-1]
    assert isinstance(done, Done)
    assert rooms.journal.last_turns("till", 1)[0].turn_id == done.turn_id
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_locked_journal_is_an_error_and_the_next_turn_is_kept(rooms: Rooms) -> None:
    assistant = Assistant(rooms.settings, rooms=rooms)
    turn(assistant, "你好")
    journal_connection(rooms).execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(rooms.settings.data_dir / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        turn(assistant, "外套能退吗?")
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(turn(assistant, "外套能退吗?")[-1], Done)


def mounting() -> list[str]:
    """How to get mounts of one's own, as root of one's own where need be; empty: not allowed."""
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            return unshare
    return []


def shell(
    script: str, data: Path, *, wrapped_in: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*wrapped_in, "sh", "-euc", script],
        capture_output=True,
        text=True,
        env=environment(data),
        timeout=240,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("used_before", [False, True])
def test_a_read_only_disk_is_exit_5_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, used_before: bool
) -> None:
    data = prepared_data(tmp_path_factory, "readonly")
    ask = f"{EDGE} ask '外套能退吗?' --profile lite"
    if used_before:
        assert shell(ask, data).returncode == 0
    if mounts := mounting():
        remount = f"mount --bind {data} {data}; mount -o remount,ro,bind {data}"
        done = shell(f"{remount}; exec {ask}", data, wrapped_in=mounts)
    else:
        done = shell(f"exec {ask}", Path("/sys/kernel/edge-runtime"))
    assert (done.returncode, done.stdout) == (5, "")
    assert "written" in done.stderr
    assert "EDGE_DATA_DIR" in done.stderr


def test_a_disk_that_fills_up_is_told_and_used_again_when_there_is_space(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = prepared_data(tmp_path_factory, "tiny")
    chat = f"yes '外套能退吗?' | head -100 | {EDGE} chat --profile lite"
    mounts = mounting()
    if mounts:
        begin = f"mount -t tmpfs -o size=1500k tmpfs {data}"
        ballast = f"dd if=/dev/zero of={data}/ballast bs=4k || true"
        fill = f"{ballast}; truncate -s -200K {data}/ballast; {chat}; rm {data}/ballast"
    else:
        begin, fill = "true", f"(ulimit -f 300; {chat})"
    ask = f"{EDGE} ask '面包能退吗?' --profile lite"
    done = shell(f"{begin}; {ask}; {fill}; {ask}", data, wrapped_in=mounts)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "journal" in done.stderr
    if mounts:
        assert "The disk is full" in done.stderr
    assert done.stdout.rstrip().endswith("[returns#food]")
