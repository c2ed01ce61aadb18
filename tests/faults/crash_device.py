"""A device that is cut off at every boundary, each time in a process of its own.

Run as a program it prints one JSON object: ``python crash_device.py WAY FOLDER STRIDE``.
``kill``: the process ends, without any clean-up, just before its n-th file operation.
``power``: the machine loses power there; of what was not synced any part may be lost.
``power-unsynced``: the same on a disk that ignores syncs, which must be found out.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from crash_vfs import Watch

from edge_runtime.journal import Journal, Retention, TurnRecord
from sync.protocol.records import Ack, Refused, contiguous_after, digest
from sync.protocol.wire import decode_batch
from sync.uplink import Uplink

USER = "member-7"
RULES = Retention(caps={"metric": 2_000})
Key = tuple[str, int]


@dataclass
class ModelServer:
    """What a server must do, as a dictionary; kept in a file as soon as it has said yes."""

    file: Path
    records: dict[Key, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    conflicts: int = 0

    @classmethod
    def load(cls, file: Path) -> ModelServer:
        server = cls(file)
        if file.exists():
            for stream, seq, kind, payload in json.loads(file.read_text()):
                server.records[stream, seq] = (kind, payload)
        return server

    def save(self) -> None:
        rows = [[*key, *value] for key, value in self.records.items()]
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(rows))
        beside.rename(self.file)

    def answer(self, request: httpx.Request) -> httpx.Response:
        batch = decode_batch(request.read())
        stored, refused = [], []
        for record in batch.records:
            key = (batch.stream, record.seq)
            known = self.records.setdefault(key, (record.kind, record.payload))
            if digest(*known) == digest(record.kind, record.payload):
                stored.append(record.seq)
            else:
                refused.append(Refused(seq=record.seq, reason="another has this number"))
        self.conflicts += len(refused)
        self.save()
        seqs = sorted(seq for stream, seq in self.records if stream == batch.stream)
        ack = Ack(
            protocol=1, stream=batch.stream, contiguous=contiguous_after(0, seqs),
            stored=stored, quarantined=refused,
        )  # fmt: skip
        return httpx.Response(200, content=ack.model_dump_json())

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://server", transport=httpx.MockTransport(self.answer))


def turn(number: int) -> TurnRecord:
    return TurnRecord(
        turn_id=f"t{number}",
        session=f"s{number // 3}",
        started_at=f"2026-03-01T09:{number:02d}:00+00:00",
        language="zh",
        source="text",
        text="衣服能退吗",
        reply="七天内可以",
        user=USER if number in {5, 6} else "",
        intent="return",
        decision="handover" if number in {2, 9} else "answer",
    )


def live(folder: Path, server: ModelServer, told: Callable[[str], None]) -> None:
    """A device's day: turns, an erased customer, uploads, housekeeping."""
    with (
        closing(Journal.open(folder / "journal.db", retention=RULES)) as journal,
        server.client() as client,
    ):
        uplink = Uplink(journal, client, batch_records=4)
        for numbers in (range(4), range(4, 8), range(8, 11)):
            for number in numbers:
                journal.record(turn(number), state_json=json.dumps({"after": number}))
                told(f"t{number}")
            uplink.push(max_batches=2)
            if 7 in numbers:
                told("erasing")
                journal.persons.erase(USER)
                told("erased")
        journal.audit("day_over", {})
        told("audit")
        journal.prune()
        uplink.push()


def examine(folder: Path, server: ModelServer, told: set[str]) -> list[str]:
    """Start again after the cut, send what is left: everything that is wrong then."""
    with (
        closing(Journal.open(folder / "journal.db", retention=RULES)) as journal,
        server.client() as client,
    ):
        wrong = [] if journal.recovered is None else ["the journal was damaged"]
        kept = [found.turn_id for _, found in journal.turns_since()]
        gone = {"t5", "t6"} if "erased" in told else set()
        may_be_gone = {"t5", "t6"} if "erasing" in told else set()
        facts = {"erasing", "erased", "audit"}
        wrong += [f"{lost} was lost" for lost in told - set(kept) - may_be_gone - facts]
        wrong += [f"{back} came back" for back in gone & set(kept)]
        journal.record(turn(20), state_json=None)
        report = Uplink(journal, client, batch_records=4).push()
        last = journal.outbox.highest()
        if report.remaining or report.contiguous != last or server.conflicts:
            wrong.append(f"not converged: {report}, conflicts {server.conflicts}")
        own = {seq: found for (stream, seq), found in server.records.items()
               if stream == journal.stream}  # fmt: skip
        if sorted(own) != list(range(1, last + 1)):
            wrong.append("the server's numbers have gaps")
        seen = Counter(payload["turn_id"] for kind, payload in own.values() if kind == "turn")
        wrong += [f"{turn_id} arrived {n} times" for turn_id, n in seen.items() if n > 1]
        wrong += [f"{turn_id} never arrived" for turn_id in {*kept, "t20"} - seen.keys()]
        for seq, (kind, payload) in own.items():
            again = journal.remade(seq)
            if kind in {"turn", "metric", "escalation"} and again is not None:
                if (kind, payload) != (again[0], json.loads(again[1])):
                    wrong.append(f"record {seq} differs")
            elif kind not in {"dropped", "audit"} and payload["turn_id"] not in {"t5", "t6"}:
                wrong.append(f"record {seq} is nobody's")
    return wrong


def kill_everywhere(base: Path, stride: int) -> dict[str, Any]:
    """End the process before its operation number 1, 1 + stride, … until a day goes through."""
    points, what, failures = 0, Counter[str](), []
    at = 1
    while True:
        folder = base / str(at)
        folder.mkdir(parents=True)
        server_file, told_file = base / f"{at}.server", base / f"{at}.told"
        child = os.fork()
        if child == 0:
            _die_at(at, folder, server_file, told_file)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert os.waitstatus_to_exitcode(status) == 137, status
        *told, last = told_file.read_text().split("\n")[:-1]
        points += 1
        what[last] += 1
        for wrong in examine(folder, ModelServer.load(server_file), set(told)):
            failures.append(f"killed before operation {at} ({last}): {wrong}")
        shutil.rmtree(folder)
        at += stride
    return {"points": points, "operations": dict(what), "failures": failures}


def _die_at(at: int, folder: Path, server_file: Path, told_file: Path) -> None:
    done = 0
    with told_file.open("a", buffering=1) as told:

        def report(what: str, name: str, *_: Any) -> None:
            nonlocal done
            done += 1
            if done == at:
                told.write(f"{what} {Path(name).suffix or name}\n")
                os._exit(137)

        try:
            Watch(folder, report)
            live(folder, ModelServer(server_file), lambda fact: told.write(fact + "\n") and None)
        except BaseException as error:
            told.write(f"{error!r}\n")
            os._exit(1)
    os._exit(0)


def lose_power_everywhere(
    base: Path, stride: int, *, rounds: int = 1, syncs: bool = True
) -> dict[str, Any]:
    """One recorded day; the disk as it may be after a power cut before every operation.

    Args:
        rounds: how often each cut is tried, each time with other losses.
        syncs: whether the disk heeds a sync.
    """
    log: list[tuple[Any, ...]] = []
    folder = base / "recorded"
    folder.mkdir(parents=True)
    Watch(folder, lambda *event: log.append(event))
    server = ModelServer(base / "server")
    answer = server.answer

    def logged(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        log.append(("server", dict(server.records)))
        return response

    server.answer = logged  # type: ignore[method-assign]
    live(folder, server, lambda fact: log.append(("told", fact)))
    chance = random.Random(20260301)
    cuts = [at for at, (what, *_) in enumerate(log) if what not in {"told", "server"}]
    # The identity is written first, whole or not at all: a power cut before is a new device.
    born = next(at for at, event in enumerate(log) if event[0] == "write")
    cuts = [at for at in cuts if at >= born][::stride] * rounds
    failures = []
    for at in cuts:
        rebuilt = base / f"cut-{at}"
        past = [event for event in log[:at] if syncs or event[0] != "sync"]
        told, records = _after_power_cut(past, folder, rebuilt, chance)
        for wrong in examine(rebuilt, ModelServer(base / "again", records), told):
            failures.append(f"power lost before operation {at} ({log[at][0]}): {wrong}")
        shutil.rmtree(rebuilt)
    return {"points": len(cuts), "failures": failures}


def _after_power_cut(
    log: list[tuple[Any, ...]], recorded: Path, target: Path, chance: random.Random
) -> tuple[set[str], dict[Key, tuple[str, dict[str, Any]]]]:
    """Write the disk as it may be after ``log``: all that was synced, and any part of the rest.

    A sync also settles the deletions before it, as a journalling file system's does.
    """
    told = {fact for what, fact, *_ in log if what == "told"}
    records = [dict(stored) for what, stored, *_ in log if what == "server"] or [{}]
    disk: dict[str, bytearray] = {}
    unsynced: dict[str, list[tuple[Any, ...]]] = {}
    deleted: list[str] = []
    for what, name, *rest in log:
        if what == "sync":
            for gone in deleted:
                disk.pop(gone, None)
            deleted.clear()
            for operation in unsynced.pop(name, []):
                _apply(disk.setdefault(name, bytearray()), operation)
        elif what in {"write", "truncate"}:
            unsynced.setdefault(name, []).append((what, *rest))
        elif what == "delete":
            deleted.append(name)
            unsynced.pop(name, None)
    for name in deleted:
        if chance.random() < 0.5:
            disk.pop(name, None)
    for name, operations in unsynced.items():
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        for operation in operations:
            if chance.random() < share:
                _apply(disk.setdefault(name, bytearray()), _torn(operation, chance))
    target.mkdir()
    shutil.copy(recorded / "device.json", target)
    for name, content in disk.items():
        (target / name).write_bytes(content)
    return told, records[-1]


def _torn(operation: tuple[Any, ...], chance: random.Random) -> tuple[Any, ...]:
    what, *rest = operation
    if what == "write" and len(rest[1]) > 512 and chance.random() < 0.2:
        return (what, rest[0], rest[1][: 512 * chance.randrange(1, len(rest[1]) // 512)])
    return operation


def _apply(content: bytearray, operation: tuple[Any, ...]) -> None:
    what, *rest = operation
    if what == "truncate":
        del content[rest[0] :]
        return
    offset, data = rest
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


if __name__ == "__main__":
    way, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    if way == "kill":
        found = kill_everywhere(folder, number)
    else:
        found = lose_power_everywhere(folder, number, rounds=rounds, syncs=way == "power")
    print(json.dumps(found))
