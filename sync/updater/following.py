"""A device that follows its server: it says what it runs and how its update goes, and installs what
it is offered.

What is to be reported is derived from the device itself at every step; the small file beside the
trusted metadata only says which rollout it is about, until the server has heard how that ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Literal

from pydantic import Field

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.bundles.documents import Digest, Strict, canonical_json, read_document
from edge_runtime.bundles.trying import COMMAND
from edge_runtime.errors import EdgeRuntimeError, ModelCorruptError, ModelError
from edge_runtime.files import write_atomic
from edge_runtime.journal import Journal
from sync.errors import UpdateRefusedError
from sync.exchange import Exchange
from sync.health import RollbackRule
from sync.pacing import Pace
from sync.protocol.base import PROTOCOL
from sync.protocol.fleet import Offer, Poll, PollAnswer, Running, UpdateReport
from sync.updater.home import UpdateHome
from sync.updater.install import install
from sync.updater.probation import MAX_EVIDENCE, Verdict, check_probation, flat
from sync.updater.release import Release
from sync.updater.sources import fetcher_from, open_repository

State = Literal["installing", "probation", "committed", "rolled_back", "failed"]
OVER = frozenset({"committed", "rolled_back", "failed"})
_FILE = "rollout.json"
_MAX_REFUSED = 5


@dataclass(frozen=True, slots=True)
class Followed:
    """The rollout this device follows; ``decision`` is 0 until its release was read.

    ``refused`` counts how often what arrived was refused.
    """

    rollout: int
    bundle: str
    version: str
    sha256: str
    state: State = "installing"
    decision: int = 0
    refused: int = 0
    reason: str = ""
    evidence: Mapping[str, float | str | None] = field(default_factory=dict)

    def report(self) -> UpdateReport:
        """As the server is told."""
        return UpdateReport(
            rollout=self.rollout,
            state=self.state,
            reason=self.reason[:500],
            evidence=dict(self.evidence),
        )


class Follower:
    """Follows the rollouts of one server.

    Args:
        home: the device.
        journal: its journal.
        exchange: the way to the server.
        pace: when more than what is urgent may use the link, for which downloads wait, and how
            much of it they may take.
        mirrors: addresses to ask for a download before the server.
        command: the child that tries a bundle.
        rule: when completion takes a bundle back.
        report: told what is being done.
    """

    def __init__(
        self,
        home: UpdateHome,
        journal: Journal,
        exchange: Exchange,
        *,
        pace: Pace | None = None,
        mirrors: Sequence[str] = (),
        command: Sequence[str] = COMMAND,
        rule: RollbackRule | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._home = home
        self._journal = journal
        self._exchange = exchange
        self._pace = pace or Pace()
        self._mirrors = mirrors
        self._command = command
        self._rule = rule
        self._report = report

    def step(self, now: datetime | None = None) -> Followed | None:
        """Judge the bundle on trial, poll, and install what is offered if the link may be used.

        Killed at any point, the next step goes on from what the device shows.

        Args:
            now: local time with its zone; the current one by default.

        Returns:
            The rollout that is followed, or ``None`` where none is.

        Raises:
            SyncError: the server cannot be reached; the next step reports and goes on.
            ConfigError: an update is offered, and this device has no root to trust it by.
            StorageError: the disk is full or read-only; the next step tries again.
        """
        moment = now or datetime.now().astimezone()
        utc = moment.astimezone(UTC)
        verdict = check_probation(self._home, self._journal, rule=self._rule, now=utc)
        followed = self._kept()
        if followed is not None:
            followed = self._now(followed, verdict)
            self._keep(followed)
        offer = self._poll(followed)
        if offer is None or self._home.slots.state.on_trial:
            return followed
        if self._pace.kinds(moment) is not None:
            return followed
        wanted = Followed(offer.rollout, offer.name, offer.version, offer.sha256)
        again = followed is not None and followed.rollout == wanted.rollout
        since = time.monotonic()

        def may_go() -> bool:
            passed = timedelta(seconds=time.monotonic() - since)
            return self._pace.kinds(moment + passed) is None

        return self._install(followed if followed is not None and again else wanted, may_go)

    def _install(self, followed: Followed, may_go: Callable[[], bool]) -> Followed:
        self._keep(followed)
        self._poll(followed)
        try:
            followed = self._bring(followed, may_go)
        except ModelError as error:
            followed = replace(followed, state="failed", reason=error.message)
        except UpdateRefusedError as error:
            # A bad link refuses itself now and then; what is refused again and again is bad.
            tries = followed.refused + 1
            state: State = "failed" if tries >= _MAX_REFUSED else "installing"
            followed = replace(followed, state=state, refused=tries, reason=error.message)
        self._keep(followed)
        self._poll(followed)
        return followed

    def _bring(self, wanted: Followed, may_go: Callable[[], bool]) -> Followed:
        with fetcher_from(
            self._home,
            mirrors=self._mirrors,
            bytes_per_s=self._pace.bytes_per_s,
            may_go=may_go,
        ) as fetcher:
            done = install(
                self._home,
                open_repository(self._home, fetcher, fetcher.urls),
                wanted.bundle,
                version=wanted.version,
                accept=lambda release: self._accept(wanted, release),
                last_turn=self._journal.newest,
                command=self._command,
                report=self._report,
            )
        return self._now(
            replace(wanted, decision=done.release.decision, state="probation", reason=""), None
        )

    def _accept(self, wanted: Followed, release: Release) -> None:
        """Keep by which decision it comes: whatever cuts this process off from here on, what
        becomes of the bundle is known to be this rollout's end."""
        if release.manifest != wanted.sha256:
            raise UpdateRefusedError(
                f"{wanted.bundle} {wanted.version} is signed as another than was offered."
            )
        self._keep(replace(wanted, decision=release.decision))

    # ---- what is reported ----

    def _now(self, followed: Followed, verdict: Verdict | None) -> Followed:
        """How far the rollout is, as the device itself shows it."""
        if followed.state in OVER:
            return followed
        running = self._home.running
        if running is not None and running.manifest == followed.sha256:
            here = replace(followed, decision=running.decision, state="probation")
            return here if self._on_trial_or_unproved(here) else _kept_for_good(here, verdict)
        for entry in self._home.rejected():
            if (entry.manifest, entry.decision) == (followed.sha256, followed.decision):
                _, evidence = _said(verdict, "rollback", "")
                return replace(
                    followed, state="rolled_back", reason=entry.reason, evidence=evidence
                )
        if followed.state == "installing":
            return followed
        return replace(followed, state="failed", reason="Another bundle was installed instead.")

    def _on_trial_or_unproved(self, followed: Followed) -> bool:
        """The server believes that an update is done only of a device that proves to run it."""
        proved = self._proved()
        return self._home.slots.state.on_trial or proved is None or proved.sha256 != followed.sha256

    def _proved(self) -> Running | None:
        with contextlib.suppress(ModelCorruptError):  # the next start proves it anew
            if found := self._home.slots.proved:
                return Running(name=found.name, version=found.version, sha256=found.sha256)
        return None

    def _poll(self, followed: Followed | None) -> Offer | None:
        report = None if followed is None else followed.report()
        poll = Poll(protocol=PROTOCOL, running=self._proved(), update=report)
        answer = self._exchange.ask("/v1/poll", poll, PollAnswer)
        if followed is not None and followed.state in OVER:
            self._forget()
        return answer.offer

    # ---- what is kept ----

    def _kept(self) -> Followed | None:
        path = self._home.folder / _FILE
        with storage_errors(self._home.folder):
            if not path.is_file():
                return None
            data = path.read_bytes()
        try:
            document = read_document(_Followed, data, "record of the rollout")
        except ModelCorruptError:
            # It only says what to report; the server offers the release again where it still may.
            self._forget()
            return None
        return Followed(**document.model_dump(exclude={"schema_"}))

    def _keep(self, followed: Followed) -> None:
        with storage_errors(self._home.folder):
            body = {"schema": 1, **asdict(followed)}
            write_atomic(self._home.folder / _FILE, canonical_json(body))

    def _forget(self) -> None:
        with storage_errors(self._home.folder):
            (self._home.folder / _FILE).unlink(missing_ok=True)


class _Followed(Strict):
    schema_: Literal[1] = Field(alias="schema")
    rollout: int = Field(ge=1, le=2**53)
    bundle: str = Field(max_length=200)
    version: str = Field(max_length=200)
    sha256: Digest
    state: State
    decision: int = Field(ge=0, le=2**53)
    refused: int = Field(ge=0, le=1000)
    reason: str = Field(max_length=4000)
    evidence: dict[str, float | str | None] = Field(max_length=MAX_EVIDENCE)


def follow(
    follower: Follower,
    stop: Event,
    every_s: float,
    on_error: Callable[[EdgeRuntimeError], None],
) -> None:
    """Step every ``every_s`` seconds until ``stop`` is set. A failure never ends the loop."""
    while not stop.is_set():
        try:
            follower.step()
        except EdgeRuntimeError as error:
            on_error(error)
        stop.wait(every_s)


def _kept_for_good(followed: Followed, verdict: Verdict | None) -> Followed:
    reason, evidence = _said(verdict, "commit", "Kept.")
    return replace(followed, state="committed", reason=reason, evidence=evidence)


def _said(verdict: Verdict | None, kind: str, otherwise: str) -> tuple[str, dict[str, Any]]:
    if verdict is None or verdict.verdict != kind:
        return otherwise, {}
    return verdict.reason, flat(verdict.evidence)
