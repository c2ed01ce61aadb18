"""Operators: people and programs that look after the fleet, each with one role and one token.

A viewer reads figures, devices, releases and the inbox. An operator also works the inbox, enrols
and groups devices and runs rollouts. An admin also revokes credentials, manages operators and
reads the audit log.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from sync.central.auth import hashed, same
from sync.central.tables import Operator
from sync.central.values import utc

Role = Literal["viewer", "operator", "admin"]
RANKS: Mapping[str, int] = {"viewer": 1, "operator": 2, "admin": 3}
NAME_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
FIRST = "first"
"""The admin who holds the server's own token; the only one before others are made."""
_PREFIX = "operator:"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks; ``role`` is a key of ``RANKS``."""

    name: str
    role: str

    def may(self, role: Role) -> bool:
        return RANKS[self.role] >= RANKS[role]

    def __str__(self) -> str:
        return f"{_PREFIX}{self.name}"


def make(session: Session, name: str, role: Role, now: datetime) -> str:
    """The token of a new operator, or a new token and role for a known one."""
    secret = secrets.token_urlsafe(32)
    operator = session.get(Operator, name, with_for_update=True)
    if operator is None:
        operator = Operator(name=name, created_at=utc(now))
        session.add(operator)
    operator.role, operator.token_hash = role, hashed(secret)
    return f"{_PREFIX}{name}.{secret}"


def revoke(session: Session, name: str) -> bool:
    """Take an operator's token away; whether there was such an operator."""
    operator = session.get(Operator, name, with_for_update=True)
    if operator is None:
        return False
    operator.token_hash = ""
    return True


def authenticate(session: Session, token: str) -> Actor | None:
    """The operator a token belongs to, or ``None``."""
    if not token.startswith(_PREFIX) or len(token) > 256:
        return None
    name, _, secret = token.removeprefix(_PREFIX).rpartition(".")
    operator = session.get(Operator, name)
    if operator is None or not same(secret, operator.token_hash):
        return None
    return Actor(operator.name, operator.role)


def listed(session: Session) -> list[dict[str, object]]:
    """Every operator by name; there are few."""
    found = session.scalars(select(Operator).order_by(Operator.name).limit(1000))
    return [
        {
            "name": operator.name,
            "role": operator.role,
            "created_at": operator.created_at,
            "active": bool(operator.token_hash),
        }
        for operator in found
    ]
