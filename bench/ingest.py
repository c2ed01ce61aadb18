"""The central server under load: turns a second, polls of a large fleet, cost per device.

Starts ``edge-central serve`` with its defaults on a private PostgreSQL whose commits wait for the
disk, all on this machine, and is itself the devices. Latencies are what a device sees on loopback;
``load`` is what the machine was busy with before.

    python -m bench ingest
    EDGE_BENCH_SECONDS=10 python -m bench ingest
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import make_url

from bench.central import SECRET, Server, enrol, served
from bench.postgres import private_postgres
from bench.report import report
from sync.central.database import Database
from sync.central.rollouts import Rule, Stage, is_open_to, start
from sync.central.tables import Device, DeviceUpdate, Release, Rollout, TurnMetric
from sync.central.values import utc
from sync.protocol.records import Batch, Record
from sync.protocol.wire import encode_batch

BATCH = 200
SENDERS = 4
CONNECTIONS = 64
FLEETS = (100, 1_000, 10_000)
SECONDS = float(os.environ.get("EDGE_BENCH_SECONDS", "20"))
_WORDS = "我想问一下这件外套如果不合身的话七天之内还可以退货吗包装已经拆开了"


def main() -> None:
    with private_postgres(durable=True, buffers="128MB") as address:
        url = make_url(address).render_as_string(hide_password=False)
        with closing(Database(url)) as database, served(url) as server:
            # First: counting the days of what is taken in would go on beside them.
            rows = [_polls(database, server, size) for size in FLEETS]
            report("polls", "Polls of a fleet, each device once a minute", rows)
            report("ingest", "Turns taken in", [_ingest(database, server)])


def _turns(count: int, start_at: datetime) -> tuple[list[Record], list[Record]]:
    """Records as a device makes them: seq 1, 3, 5, … are turns, 2, 4, 6, … their figures."""
    turns, metrics = [], []
    for number in range(count):
        facts: dict[str, Any] = {
            "turn_id": secrets.token_hex(16),
            "session": f"[SESSION:{number // 4:016x}]",
            "started_at": (start_at + timedelta(seconds=20 * number)).isoformat(),
            "language": "zh",
            "source": "speech",
            "intent": "return_policy",
            "sentiment": "neutral",
            "decision": "answer",
            "outcome": "done",
            "timings_ms": {
                stage: float(number % 50 + 3)
                for stage in ("asr", "nlu", "dialogue", "knowledge", "generation", "guard",
                              "first_token", "total")
            },
            "runtime_version": "0.1.0",
            "pack": "retail 1.0",
        }  # fmt: skip
        words = {
            "user": "", "text": _WORDS, "transcript": _WORDS, "ocr_text": "",
            "normalized": _WORDS, "intent_confidence": 0.93,
            "entities": [{"type": "product", "value": "coat", "text": "外套"}],
            "confidence": 0.9, "reason": "policy", "reply": _WORDS * 2,
            "sources": ["knowledge/returns.md#7-days"], "blocked": [],
            "models": {"asr": "vosk-small-cn", "encoder": "bge-small-zh"}, "error": "",
        }  # fmt: skip
        made = utc(start_at)
        turns.append(
            Record(seq=2 * number + 1, kind="turn", created_at=made, payload=facts | words)
        )
        metrics.append(
            Record(
                seq=2 * number + 2, kind="metric", created_at=made,
                payload=facts | {"blocked_count": 0},
            )
        )  # fmt: skip
    return turns, metrics


def _batches(device_id: str, turns: int) -> list[bytes]:
    """In the order in which a device sends: turns first, then their figures."""
    now = datetime.now(UTC)
    bodies = []
    for records in _turns(turns, now - timedelta(seconds=20 * turns)):
        for at in range(0, turns, BATCH):
            batch = Batch(
                protocol=1, device_id=device_id, stream="bench", sent_at=utc(now),
                records=records[at : at + BATCH],
            )  # fmt: skip
            bodies.append(encode_batch(batch))
    return bodies


def _ingest(database: Database, server: Server) -> dict[str, Any]:
    """``SENDERS`` devices that have been offline send all they have, as fast as it is taken.

    A turn counts once both its records are committed: the turn itself and its figures.
    """
    per_device = max(int(SECONDS * 3_500 / SENDERS) // BATCH, 1) * BATCH
    ids = enrol(database, "sender", SENDERS)
    bodies = {name: _batches(name, per_device) for name in ids}
    waits: list[float] = []
    load = os.getloadavg()[0]
    began_cpu, began = server.cpu_s(), time.perf_counter()

    def send(name: str) -> None:
        headers = {"Authorization": f"Bearer {name}.{SECRET}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            for body in bodies[name]:
                at = time.perf_counter()
                answer = client.post("/v1/ingest", content=body)
                waits.append(time.perf_counter() - at)
                if answer.status_code != 200:
                    raise RuntimeError(f"a batch was answered {answer.text}")

    threads = [threading.Thread(target=send, args=(name,)) for name in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, cpu = time.perf_counter() - began, server.cpu_s() - began_cpu
    with database.read() as session:
        stored = session.scalar(select(func.count()).select_from(TurnMetric))
    total = per_device * SENDERS
    if stored != total:
        raise RuntimeError(f"{total} turns were sent, {stored} are stored")
    return {
        "turns": total,
        "records/s": round(2 * total / took),
        "turns/s": round(total / took),
        "batch": BATCH,
        "p50 ms": _percentile(waits, 50) * 1e3,
        "p99 ms": _percentile(waits, 99) * 1e3,
        "server CPU ms a turn": round(cpu / total * 1e3, 3),
        "seconds": round(took, 1),
        "load": round(load, 1),
    }


def _polls(database: Database, server: Server, size: int) -> dict[str, Any]:
    """Polls at the rate of a 10,000-device fleet by ``size`` devices that have polled before, half
    of them on offer."""
    ids = enrol(database, f"fleet{size}", size)
    _settle(database, ids, _offer(database, f"1.{size}"))
    rate = max(FLEETS) / 60
    began = server.cpu_s()
    idle_from = time.perf_counter()
    time.sleep(2)
    idle = (server.cpu_s() - began) / (time.perf_counter() - idle_from)
    load = os.getloadavg()[0]
    began, at = server.cpu_s(), time.perf_counter()
    waits = asyncio.run(_poll_all(server.url, ids, rate, SECONDS))
    took, cpu = time.perf_counter() - at, server.cpu_s() - began
    return {
        "devices": size,
        "polls": len(waits),
        "polls/s": round(len(waits) / took),
        "p50 ms": _percentile(waits, 50) * 1e3,
        "p99 ms": _percentile(waits, 99) * 1e3,
        "CPU ms a poll": round((cpu - idle * took) / len(waits) * 1e3, 2),
        "load": round(load, 1),
    }


def _settle(database: Database, ids: list[str], rollout: int) -> None:
    """As after some minutes of polls: what runs is known, who is reached was told, and each was
    last noted at some moment of the last four minutes."""
    now = datetime.now(UTC)
    running = {"running_name": "retail", "running_version": "1.0", "running_sha256": "b" * 64}
    with database.write() as session:
        offered = session.get_one(Rollout, rollout)
        devices = session.scalars(select(Device).where(Device.device_id.in_(ids))).all()
        told = [device.device_id for device in devices if is_open_to(offered, device)]
        session.execute(
            update(Device),
            [
                running | {"device_id": name,
                           "last_seen_at": utc(now - timedelta(minutes=4 * number / len(ids)))}
                for number, name in enumerate(ids)
            ],
        )  # fmt: skip
        session.execute(
            insert(DeviceUpdate),
            [
                {"rollout_id": rollout, "device_id": name, "state": "offered",
                 "offered_at": utc(now), "updated_at": utc(now)}
                for name in told
            ],
        )  # fmt: skip


def _offer(database: Database, version: str) -> int:
    now = datetime.now(UTC)
    with database.write() as session:
        session.add(
            Release(
                id=f"retail-{version}", name="retail", version=version, sha256="a" * 64, size=1,
                cards="{}", target="bundles/retail/1.json", created_at=utc(now), created_by="bench",
            )
        )  # fmt: skip
        session.flush()
        made = start(session, f"retail-{version}", (Stage(percent=50),), Rule(), "bench", now)
        if made is None:
            raise RuntimeError(f"retail-{version} cannot be rolled out")
        return made.id


async def _poll_all(url: str, ids: list[str], rate: float, seconds: float) -> list[float]:
    """Each poll is due on its own schedule and is timed from then on, whether or not a connection
    was free (Tene, "coordinated omission"). Plain HTTP/1.1, so that the devices cost little."""
    due: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
    waits: list[float] = []
    host, port = url.removeprefix("http://").split(":")
    running = {"name": "retail", "version": "1.0", "sha256": "b" * 64}
    body = json.dumps({"protocol": 1, "running": running}).encode()
    head = f"POST /v1/poll HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"

    async def device() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while True:
            at, name = await due.get()
            lines = f"Content-Length: {len(body)}\r\nAuthorization: Bearer {name}.{SECRET}\r\n\r\n"
            writer.write((head + lines).encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"a poll was answered {answer[:40]!r}")
            length = int(answer.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            waits.append(time.perf_counter() - at)
            due.task_done()

    async with asyncio.TaskGroup() as group:
        devices = [group.create_task(device()) for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            at = began + number / rate
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            due.put_nowait((at, ids[number % len(ids)]))
        await due.join()
        for one in devices:
            one.cancel()
    return waits


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
