"""How a device joins a fleet, and how it asks what to run and says how that went."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge_runtime.bundles.documents import Digest
from sync.protocol.base import Finite, Id, Model, Short


class EnrollRequest(Model):
    """A device's one-time code and the id it goes by."""

    code: Annotated[str, Field(min_length=8, max_length=64)]
    device_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class EnrollAnswer(Model):
    """The device's credential, at enrolment or rotation; the server keeps only its hash."""

    device_id: Id
    token: Annotated[str, Field(min_length=16, max_length=256)]


class Running(Model):
    """The bundle in a device's active slot: what it found there and started, by its hash."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Digest


class UpdateReport(Model):
    """How far a device is with the update it was offered; sent with every poll until it is over.

    ``reason`` and ``evidence`` say why an update failed or was rolled back.
    """

    rollout: Annotated[int, Field(ge=1, le=2**53)]
    state: Literal["installing", "probation", "committed", "rolled_back", "failed"]
    reason: Annotated[str, Field(max_length=500)] = ""
    evidence: Annotated[dict[Short, Finite | Short | None], Field(max_length=64)] = Field({})


class Poll(Model):
    """A device's question what it should run. ``running`` is ``None`` while it has no bundle."""

    protocol: Literal[1]
    running: Running | None = None
    update: UpdateReport | None = None


class Offer(Model):
    """A release this device may install; ``target`` is its manifest's path in the update
    repository, whose signatures decide, not this offer."""

    rollout: Annotated[int, Field(ge=1, le=2**53)]
    name: Short
    version: Short
    sha256: Digest
    target: Annotated[str, Field(max_length=300)]


class PollAnswer(Model):
    """``offer`` is ``None`` where the device should stay as it is."""

    protocol: Literal[1]
    offer: Offer | None = None
