"""When, how fast and what a device may send, and whom it asks for updates.

Settings come from ``EDGE_SYNC_*`` or the table ``[sync]`` of edge.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Self

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from edge_runtime.config import FileSettings, read_settings

URGENT = frozenset({"escalation", "audit"})
"""Goes at any hour and over any link: somebody waits for it, and it is small."""
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")
_BATCH_S = 20


class SyncSettings(FileSettings):
    """How this device uses its link."""

    table = "sync"
    model_config = SettingsConfigDict(env_prefix="EDGE_SYNC_", extra="ignore")

    every_s: float = Field(default=60.0, ge=1, le=86_400)
    """Seconds between pushes."""
    bandwidth_kbit: int = Field(default=0, ge=0, le=10_000_000)
    """Kilobits a second that uploads may take, and as many again downloads; 0 for no limit."""
    hours: str = ""
    """When turns and figures may be sent, by the device's clock: ``22:00-06:00,12:00-13:00``.
    Empty means always."""
    metered: bool = False
    """The link costs by volume: outside ``hours`` only requests for a person and audit records
    are sent, and without ``hours`` nothing else at all until ``edge-sync push --all``."""

    mirrors: str = ""
    """Addresses, separated by commas, that serve the update repository's ``metadata`` and
    ``targets``; asked in this order before the central server."""

    @property
    def mirror_addresses(self) -> list[str]:
        return [
            address for address in (part.strip() for part in self.mirrors.split(",")) if address
        ]

    @field_validator("hours")
    @classmethod
    def _readable(cls, value: str) -> str:
        _windows(value)
        return value


def load_sync_settings(**overrides: object) -> SyncSettings:
    """Read the settings; ``overrides`` that are ``None`` are left to the other sources.

    Raises:
        ConfigError: a value is out of range or the file cannot be read.
    """
    return read_settings(SyncSettings, overrides, "Correct EDGE_SYNC_{} or [sync] in edge.toml.")


@dataclass(frozen=True, slots=True)
class Pace:
    """What the settings come to. ``windows`` are pairs of times of day; one may pass midnight."""

    bytes_per_s: int = 0
    windows: tuple[tuple[time, time], ...] = ()
    metered: bool = False

    @classmethod
    def of(cls, settings: SyncSettings) -> Self:
        return cls(settings.bandwidth_kbit * 125, _windows(settings.hours), settings.metered)

    def kinds(self, now: datetime) -> frozenset[str] | None:
        """The kinds of record that may go at a local time; ``None`` for every kind."""
        if self.windows:
            return None if self._is_open(now.time()) else URGENT
        return URGENT if self.metered else None

    def _is_open(self, at: time) -> bool:
        return any(
            start <= at < end if start <= end else at >= start or at < end
            for start, end in self.windows
        )

    def batch_bytes(self, wanted: int) -> int:
        """Payload of a batch that is over the link well before either side gives up waiting."""
        return min(wanted, max(self.bytes_per_s * _BATCH_S, 16_384)) if self.bytes_per_s else wanted


def _windows(text: str) -> tuple[tuple[time, time], ...]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _HOURS.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not of the form 22:00-06:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        found.append((time(hour, minute), time(end_hour, end_minute)))
    return tuple(found)
