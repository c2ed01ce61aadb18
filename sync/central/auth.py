"""Credentials: made here, handed out once, kept only as hashes.

Secrets are random and long enough (a code 75 bits, a token 256) that a plain SHA-256 protects them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_runtime.errors import InputError
from sync.central.tables import Device, Enrolment
from sync.central.values import utc

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_CODE_LENGTH = 15


class EnrolmentError(InputError, PermissionError):
    """The code is unknown, used, expired, or meant for another device."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A device and the hashes of its credentials."""

    device_id: str
    credential_hash: str
    next_credential_hash: str


_HASHES = select(Device.device_id, Device.credential_hash, Device.next_credential_hash)


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def same(secret: str, expected_hash: str) -> bool:
    """Whether a secret has this hash, in constant time; never for an empty hash."""
    return bool(expected_hash) and hmac.compare_digest(hashed(secret), expected_hash)


def new_code(
    session: Session, *, now: datetime, lifetime: timedelta, device_id: str = "", shop: str = ""
) -> str:
    """A one-time enrolment code such as ``7KQ4M-2XW9D-0TRBN`` (Crockford's base 32)."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
    session.add(
        Enrolment(
            code_hash=hashed(code), device_id=device_id, shop=shop, expires_at=utc(now + lifetime)
        )
    )
    return "-".join(code[at : at + 5] for at in range(0, _CODE_LENGTH, 5))


def redeem_code(session: Session, *, code: str, device_id: str, now: datetime) -> str:
    """Use up a code; the device's new credential, which replaces any it had.

    A device that is already enrolled can only use a code made for it, so that a stray code cannot
    take over another device's name.

    Raises:
        EnrolmentError: the code does not admit this device.
    """
    plain = code.upper().translate(_LOOKALIKES)
    found = session.scalar(
        select(Enrolment).where(Enrolment.code_hash == hashed(plain)).with_for_update()
    )
    device = session.get(Device, device_id)
    if (
        found is None
        or found.used_at
        or found.expires_at < utc(now)
        or (found.device_id and found.device_id != device_id)
        or (device is not None and found.device_id != device_id)
    ):
        raise EnrolmentError("The enrolment code is unknown, used, expired or for another device.")
    found.used_at, found.used_by = utc(now), device_id
    token = secrets.token_urlsafe(32)
    if device is None:
        device = Device(device_id=device_id, enrolled_at=utc(now))
        session.add(device)
    device.shop = found.shop or device.shop or ""
    device.credential_hash, device.next_credential_hash = hashed(token), ""
    return f"{device_id}.{token}"


def authenticate(session: Session, token: str) -> str | None:
    """The device a credential belongs to, or ``None``."""
    device = find_device(session, token)
    return device.device_id if device else None


def find_device(session: Session, token: str) -> Holder | None:
    """The device whose credential, or rotated credential, this is."""
    device_id, dot, secret = token.rpartition(".")
    if not dot or len(token) > 512 or "\0" in token:
        return None
    found = session.execute(_HASHES.where(Device.device_id == device_id)).one_or_none()
    device = Holder(*found) if found is not None else None
    if device is None or not (
        same(secret, device.credential_hash) or same(secret, device.next_credential_hash)
    ):
        return None
    return device


def is_rotated(device: Holder | Device, token: str) -> bool:
    """Whether this is the device's rotated credential, on its first use."""
    return same(token.rpartition(".")[2], device.next_credential_hash)


def rotate(session: Session, device_id: str) -> str:
    """A new credential for a device. The old one works until the new one is first used, so that a
    lost answer locks nobody out."""
    device = session.get_one(Device, device_id, with_for_update=True)
    token = secrets.token_urlsafe(32)
    device.next_credential_hash = hashed(token)
    return f"{device_id}.{token}"


def settle(session: Session, device_id: str, token: str) -> None:
    """End a rotation at the new credential's first use: from now on only that one works."""
    device = session.get_one(Device, device_id, with_for_update=True)
    if is_rotated(device, token):
        device.credential_hash, device.next_credential_hash = device.next_credential_hash, ""


def revoke(session: Session, device_id: str) -> bool:
    """Take a device's credentials away; whether there was such a device."""
    device = session.get(Device, device_id, with_for_update=True)
    if device is None:
        return False
    device.credential_hash = device.next_credential_hash = ""
    return True
