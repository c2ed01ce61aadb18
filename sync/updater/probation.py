"""Whether a bundle on trial stays: watched against the one before it, then kept or taken back.

Completion is judged after every closed dialogue by :class:`~sync.health.RollbackRule`. A dialogue
counts only once it has been silent for 30 minutes, so its verdict never rests on less than half an
hour. Crashes are judged at every look: what kills the process leaves no turns to fill a window.
Four more things are looked at once, when the window is full: escalations, late first words,
failed turns and memory. Each takes a bundle back only if what was seen has a probability below
:data:`RARE` for a version no worse than allowed, so that all six together take back a healthy
version in fewer than 1 % of cases (0.88 % + 4 × 0.02 %, and 0.01 % for crashes).
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from edge_runtime.bundles.crashes import crashes
from edge_runtime.bundles.running import bundle_label
from edge_runtime.errors import ModelError
from edge_runtime.journal import Journal, TurnRecord
from edge_runtime.journal.completion import parse_time
from sync.health import RollbackRule, at_least
from sync.updater.home import TRIAL_NOTE, UpdateHome
from sync.updater.observing import Observation, closed, first_tokens, observe
from sync.updater.release import Release

RARE = 2e-4
MAX_EVIDENCE = 48
"""Figures that a report carries at most; an audit record has room for 64 details."""
_BEFORE_TURNS = 2000
_MAX_TURNS = 20_000
_LATE_FACTOR = 2.0
_LEAST_CRASHES = 3
_ALLOWED = {"crashed": 0.005, "escalated": 0.15, "late": 0.10, "failed": 0.02, "heavy": 0.10}
"""Shares that any version may reach; a share the version before had is allowed too."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """How often a serving process crashed, after the switch and before it."""

    after: int = 0
    before: int = 0


NO_CRASH = Crashed()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a trial, in one sentence, with what it rests on."""

    verdict: Literal["watch", "commit", "rollback"]
    release: Release | None
    reason: str
    evidence: dict[str, Any]


def check_probation(
    home: UpdateHome,
    journal: Journal,
    *,
    rule: RollbackRule | None = None,
    now: datetime | None = None,
) -> Verdict | None:
    """Judge the bundle on trial and act on it; ``None`` where none is.

    A bundle that the start-up counter took back is noted here. Verdicts are reported centrally with
    their evidence (an audit record). Killed at any step, the next call comes to the same end.

    Raises:
        ModelCorruptError: a note is damaged.
        StorageError: the journal or a slot cannot be read or written.
    """
    moment = now or datetime.now(UTC)
    if fallen := _note_fallen(home, journal, moment):
        return fallen
    active = home.slots.state.active
    if active is None or not home.slots.state.on_trial:
        return None
    release = home.release(active)
    turns = _turns(journal, _since(home.slots.note(active, TRIAL_NOTE)), release)
    crashed = _crashed(home, turns, release)
    verdict = judge(
        turns.after, turns.before, rule or RollbackRule(), moment, release, home, crashed
    )
    if verdict.verdict == "rollback" and release is not None:
        take_back(home, journal, release, verdict.reason, verdict.evidence, moment)
    elif verdict.verdict == "rollback":
        home.slots.roll_back()
        home.slots.noted()
    elif verdict.verdict == "commit":
        home.slots.commit()
        _report(journal, "update_kept", release, verdict.reason, verdict.evidence)
    return verdict


def take_back(
    home: UpdateHome,
    journal: Journal,
    release: Release,
    reason: str,
    evidence: dict[str, Any],
    now: datetime,
) -> None:
    """Take the bundle on trial back; it comes again only by a new signed decision."""
    # Reported first: a power cut in between may repeat a report, but never loses one.
    if not home.has_rejected(release):
        _report(journal, "update_taken_back", release, reason, evidence)
        home.reject(release, reason, now)
    home.slots.roll_back()
    home.slots.noted()


def judge(
    after: Sequence[TurnRecord],
    before: Sequence[TurnRecord],
    rule: RollbackRule,
    now: datetime,
    release: Release | None,
    home: UpdateHome,
    crashed: Crashed = NO_CRASH,
) -> Verdict:
    """The verdict on the turns ``after`` the switch, against those ``before`` it."""
    seen, known = observe(after, now, crashed.after), observe(before, now, crashed.before)
    health = rule.judge_history(dialogue.completed for dialogue in closed(after, now))
    evidence = {"after": asdict(seen), "before": asdict(known), "completion": asdict(health)}
    if health.verdict == "rollback":
        reason = (
            f"{health.completed} of {health.dialogues} dialogues were completed: the rate is below "
            f"{rule.floor:.0%} with {rule.confidence:.0%} confidence."
        )
        return Verdict("rollback", release, reason, evidence)
    if crashes_too_often(seen, known):
        reason = f"It crashed {seen.crashed} times over {seen.turns} turns."
        return Verdict("rollback", release, reason, evidence)
    if health.verdict == "watch":
        reason = f"{seen.dialogues} of {rule.window} dialogues watched."
        return Verdict("watch", release, reason, evidence)
    first = first_tokens(after)
    late = None if known.late_ms is None else _LATE_FACTOR * known.late_ms
    limit_mb = home.settings.engines.memory_mb
    counted = {
        "escalated": (seen.escalated, seen.dialogues, _share(known.escalated, known.dialogues)),
        "late": (_above(first, late), len(first), 0.0),
        "failed": (seen.failed, seen.turns, _share(known.failed, known.turns)),
        "heavy": (_above([float(turn.memory_mb) for turn in after], limit_mb), seen.turns, 0.0),
    }
    for name, (count, trials, share) in counted.items():
        allowed = max(_ALLOWED[name], min(share, 0.9))
        if trials and at_least(count, trials, allowed) < RARE:
            reason = f"{count} of {trials} {_WORDS[name]}; {allowed:.0%} would be allowed."
            return Verdict("rollback", release, reason, evidence)
    return Verdict("commit", release, f"{seen.dialogues} dialogues, none of it worse.", evidence)


_WORDS = {
    "escalated": "dialogues were handed to a person",
    "late": "turns began more than twice as late as before",
    "failed": "turns failed",
    "heavy": "turns ended above the memory that the profile allows",
}


def crashes_too_often(seen: Observation, known: Observation) -> bool:
    """Whether so many crashes are improbable for a version that crashes in 0.5 % of turns, or as
    often as the version ``known`` before; from three on."""
    trials = seen.turns + seen.crashed
    before = _share(known.crashed, known.turns + known.crashed)
    allowed = max(_ALLOWED["crashed"], min(before, 0.9))
    return seen.crashed >= _LEAST_CRASHES and at_least(seen.crashed, trials, allowed) < RARE


@dataclass(frozen=True, slots=True)
class _Turns:
    before: list[TurnRecord]
    after: list[TurnRecord]


def _turns(journal: Journal, since: int, release: Release | None) -> _Turns:
    """Turns before the switch, and those after it that the bundle on trial itself answered."""
    before = journal.turns_since(max(since - _BEFORE_TURNS, 0), limit=min(since, _BEFORE_TURNS))
    after = journal.turns_since(since, limit=_MAX_TURNS)
    own = [turn for _, turn in after if _is_by(release, turn)]
    return _Turns([turn for n, turn in before if n <= since], own)


def _crashed(home: UpdateHome, turns: _Turns, release: Release | None) -> Crashed:
    """Those of the bundle on trial, and those of others since the first turn before it."""
    if release is None:
        return NO_CRASH
    kept = crashes(home.slots.root)
    since = _began(turns.before)
    own = sum(crash.sha256 == release.manifest for crash in kept)
    if since is None:
        return Crashed(after=own, before=0)
    others = sum(crash.sha256 != release.manifest and crash.at >= since for crash in kept)
    return Crashed(after=own, before=others)


def _began(turns: Sequence[TurnRecord]) -> datetime | None:
    """When the first of them began, where that can be told."""
    with contextlib.suppress(IndexError, ValueError):
        return parse_time(turns[0].started_at)
    return None


def _is_by(release: Release | None, turn: TurnRecord) -> bool:
    """Turns that say nothing of their bundle come from a runtime that knew of none to say."""
    if release is None:
        return True
    label = bundle_label(release.bundle, release.version, release.manifest)
    return turn.models.get("bundle", label) == label


def _since(note: bytes | None) -> int:
    try:
        return max(int(json.loads(note or b"{}")["since_turn"]), 0)
    except (ValueError, KeyError, TypeError):
        return 0


def _note_fallen(home: UpdateHome, journal: Journal, now: datetime) -> Verdict | None:
    slot = home.slots.state.fallen
    if slot is None:
        return None
    try:
        release = home.release(slot)
    except ModelError:
        release = None
    reason = "It did not start three times in a row."
    told = release is None or home.has_rejected(release)
    if release is not None and not told:
        _report(journal, "update_taken_back", release, reason, {})
        home.reject(release, reason, now)
    home.slots.noted()
    return None if told else Verdict("rollback", release, reason, {})


def _report(
    journal: Journal, event: str, release: Release | None, reason: str, evidence: dict[str, Any]
) -> None:
    about = {} if release is None else asdict(release)
    journal.audit(event, {**about, "reason": reason, **flat(evidence)})


def flat(evidence: Mapping[str, Any]) -> dict[str, float | str | None]:
    """Nested counts as ``after.dialogues``: what a report may carry."""
    found: dict[str, float | str | None] = {}
    for name, value in evidence.items():
        inner = value if isinstance(value, Mapping) else {"": value}
        for key, each in inner.items():
            sound = isinstance(each, int | float) and math.isfinite(each)
            shown = each if sound or each is None else str(each)[:200]
            found[f"{name}.{key}".rstrip(".")] = shown
    return dict(list(found.items())[:MAX_EVIDENCE])


def _above(values: Sequence[float], limit: float | None) -> int:
    return 0 if limit is None else sum(value > limit for value in values)


def _share(count: int, of: int) -> float:
    return count / of if of else 0.0
