"""What every endpoint works with, and who may call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sync.central import auth, operators
from sync.central.database import Database
from sync.central.limits import RateLimiter, Rates
from sync.central.objects import Objects
from sync.central.operators import Actor, Role
from sync.central.prometheus import Counters
from sync.protocol.base import Refusal

Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False, scheme_name="token"))
]
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": description}
    for status, description in {
        400: "What was sent cannot be read.",
        401: "No credential, or one that is not known.",
        403: "The credential does not allow this.",
        404: "There is no such thing.",
        408: "The body arrived too slowly.",
        409: "Things are not as the request takes them to be.",
        413: "The body is too large.",
        422: "A value is missing or out of bounds.",
        429: "Too many requests; Retry-After says when to come back.",
        503: "The database cannot be used; nothing was kept.",
    }.items()
}
"""The error answers of every endpoint, for the OpenAPI document."""


class Guard:
    """Dependencies that let a request through for whom its credential says.

    A device's credential opens devices' endpoints only, an operator's only operators'.
    """

    def __init__(self, database: Database, first_token: str, rates: Rates) -> None:
        self._database = database
        self._first_hash = auth.hashed(first_token)
        self._attempts = RateLimiter(rates.attempts)
        self._devices = RateLimiter(rates.device)
        self._operators = RateLimiter(rates.operator)

    def attempt(self, request: Request) -> None:
        """Anybody, but not often: for enrolment."""
        self._attempts.require(_address(request))

    def device(self, request: Request, bearer: Bearer) -> None:
        """A device; its id is ``request.state.device_id``."""
        token = bearer.credentials if bearer else ""
        with self._database.read() as session:
            found = auth.find_device(session, token)
        if found is None:
            raise self._refused(request, "A device's credential is needed.")
        self._devices.require(found.device_id)
        if auth.is_rotated(found, token):
            with self._database.write() as session:
                auth.settle(session, found.device_id, token)
        request.state.device_id = found.device_id

    def viewer(self, request: Request, bearer: Bearer) -> None:
        """Any operator; it is ``request.state.actor``."""
        self._operator(request, bearer, "viewer")

    def operator(self, request: Request, bearer: Bearer) -> None:
        """An operator who may change things."""
        self._operator(request, bearer, "operator")

    def admin(self, request: Request, bearer: Bearer) -> None:
        """An operator who may do everything."""
        self._operator(request, bearer, "admin")

    def device_or_viewer(self, request: Request, bearer: Bearer) -> None:
        """A device or any operator."""
        if bearer is not None and self._actor(bearer.credentials) is not None:
            self.viewer(request, bearer)
        else:
            self.device(request, bearer)

    def _operator(self, request: Request, bearer: Bearer, role: Role) -> None:
        actor = self._actor(bearer.credentials) if bearer else None
        if actor is None:
            raise self._refused(request, "An operator's token is needed.")
        self._operators.require(actor.name)
        if not actor.may(role):
            raise HTTPException(403, f"This needs the role '{role}'; yours is '{actor.role}'.")
        request.state.actor = actor

    def _actor(self, token: str) -> Actor | None:
        if auth.same(token, self._first_hash):
            return Actor(operators.FIRST, "admin")
        with self._database.read() as session:
            return operators.authenticate(session, token)

    def _refused(self, request: Request, message: str) -> HTTPException:
        self._attempts.require(_address(request))
        return HTTPException(401, message, headers={"WWW-Authenticate": "Bearer"})


@dataclass(frozen=True, slots=True)
class Context:
    """``clock`` gives the current time with its zone."""

    database: Database
    objects: Objects | None
    guard: Guard
    counters: Counters
    clock: Callable[[], datetime]


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
