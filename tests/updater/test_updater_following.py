"""A device that follows its server: when it downloads, and what it says became of an update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from device_kit import PASSING, Till, Works

from edge_runtime.bundles.slots import Slots
from edge_runtime.journal import Journal
from sync.errors import SyncError
from sync.exchange import Exchange
from sync.link import Link
from sync.pacing import Pace, load_sync_settings
from sync.protocol.fleet import Offer, Poll, PollAnswer
from sync.updater import following, sources
from sync.updater.following import OVER, Follower

FILES = {"model.bin": b"weights" * 5_000}


class Server:
    """Offers one release until it is over, and serves the repository; knows who asked for what."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.polls: list[Poll] = []
        self.fetched: list[str] = []
        digest = works.manifest("1", FILES).digest
        works.publish("1", FILES)
        self.offer = Offer(
            rollout=7,
            name="shop",
            version="1",
            sha256=digest,
            target="bundles/shop/1.json",
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/poll":
            self.polls.append(Poll.model_validate_json(request.read()))
            update = self.polls[-1].update
            over = update is not None and update.state in OVER
            answer = PollAnswer(protocol=1, offer=None if over else self.offer)
            return httpx.Response(200, content=answer.model_dump_json())
        path = request.url.path.removeprefix("/v1/repository")
        self.fetched.append(path)
        request.url = request.url.copy_with(path=path)
        return self.works.respond(request)


@pytest.fixture
def server(works: Works) -> Server:
    return Server(works)


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    transport = httpx.MockTransport(server)

    def opened(*_: object, **__: object) -> httpx.Client:
        return httpx.Client(base_url="http://127.0.0.1", transport=transport)

    monkeypatch.setattr(sources, "linked", lambda *_, **__: Link("http://127.0.0.1", "token"))
    monkeypatch.setattr(sources, "open_client", opened)
    with opened() as made:
        yield made


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-01T{text}").astimezone()


@pytest.mark.parametrize(
    ("hours", "metered", "closed", "opened"),
    [
        ("22:00-06:00", False, ["06:00", "12:00", "21:59"], "22:00"),
        ("22:00-06:00", True, ["06:00", "12:00", "21:59"], "03:00"),
        ("", True, ["00:00", "12:00", "23:59"], ""),
        ("", False, [], "12:00"),
    ],
)
def test_an_update_comes_down_only_when_the_link_may_be_used(
    till: Till,
    journal: Journal,
    server: Server,
    client: httpx.Client,
    hours: str,
    metered: bool,
    closed: list[str],
    opened: str,
) -> None:
    pace = Pace.of(load_sync_settings(hours=hours, metered=metered))
    follower = Follower(till.home, journal, Exchange(client), pace=pace, command=PASSING)
    for moment in closed:
        assert follower.step(at(moment)) is None
    # It still says that it is there; what it may not do is download.
    assert len(server.polls) == len(closed)
    assert server.fetched == []
    assert till.home.slots.state.active is None
    if opened:
        followed = follower.step(at(opened))
        assert followed is not None
        assert followed.state == "probation"
        assert till.running() == FILES


def test_a_download_stops_when_its_hours_are_over_and_goes_on_in_the_next(
    till: Till, journal: Journal, server: Server, client: httpx.Client
) -> None:
    pace = Pace.of(load_sync_settings(hours="22:00-06:00"))
    follower = Follower(till.home, journal, Exchange(client), pace=pace, command=PASSING)
    follower_clock = iter([0.0, *[2.0] * 5, *[7_200.0] * 1_000])
    with pytest.MonkeyPatch.context() as patch:
        seconds = SimpleNamespace(monotonic=lambda: next(follower_clock))
        patch.setattr(following, "time", seconds)
        with pytest.raises(SyncError):
            follower.step(at("05:00"))
    assert till.home.slots.state.active is None
    followed = follower.step(at("22:00"))
    assert followed is not None
    assert (followed.state, followed.refused) == ("probation", 0)


def test_mirrors_are_asked_before_the_server_and_never_see_its_credential(
    till: Till,
    journal: Journal,
    server: Server,
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[httpx.Request] = []

    def mirror(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path.endswith(".bin") or request.url.host == "dead":
            return httpx.Response(503)
        return server.works.respond(request)

    made = httpx.Client(transport=httpx.MockTransport(mirror))
    monkeypatch.setattr(sources, "httpx", SimpleNamespace(Client=lambda **_: made))
    mirrors = load_sync_settings(mirrors="https://dead, https://near").mirror_addresses
    follower = Follower(till.home, journal, Exchange(client), mirrors=mirrors, command=PASSING)
    followed = follower.step(at("12:00"))
    assert followed is not None
    assert followed.state == "probation"
    assert {request.url.host for request in asked} == {"dead", "near"}
    assert not [request for request in asked if "authorization" in request.headers]
    assert till.running() == FILES


def test_what_became_of_an_update_is_judged_and_told_outside_the_hours(
    till: Till, journal: Journal, server: Server, client: httpx.Client
) -> None:
    pace = Pace.of(load_sync_settings(hours="22:00-06:00", metered=True))
    follower = Follower(till.home, journal, Exchange(client), pace=pace, command=PASSING)
    follower.step(at("23:00"))
    fetched = len(server.fetched)
    for _ in range(4):
        till.home.slots.begin_start()
    followed = follower.step(at("12:00"))
    assert followed is not None
    assert (followed.state, server.polls[-1].update) == ("rolled_back", followed.report())
    assert len(server.fetched) == fetched


def test_a_bundle_that_fell_before_its_switch_was_noted_is_reported_as_taken_back(
    till: Till,
    journal: Journal,
    server: Server,
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follower = Follower(till.home, journal, Exchange(client), command=PASSING)

    class CutOff(BaseException):
        """The power fails."""

    def cut_off(*_: object) -> None:
        raise CutOff

    with monkeypatch.context() as broken:
        broken.setattr(Slots, "activate", then(Slots.activate, cut_off))
        with pytest.raises(CutOff):
            follower.step(at("12:00"))
    assert till.home.slots.state.on_trial
    for _ in range(4):
        till.home.slots.begin_start()
    followed = follower.step(at("12:01"))
    assert followed is not None
    assert (followed.state, followed.reason) == (
        "rolled_back",
        "It did not start three times in a row.",
    )


def then(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        first(*args)
        return second(*args)

    return both
