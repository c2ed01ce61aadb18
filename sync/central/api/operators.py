"""Who looks after the fleet, and what they changed: for admins."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, Field

from sync.central import audit, operators
from sync.central.api.context import Context
from sync.central.api.fleet import Body


class OperatorRequest(Body):
    name: Annotated[str, Field(pattern=operators.NAME_PATTERN)]
    role: operators.Role


class OperatorAnswer(BaseModel):
    """The token is told once."""

    name: str
    token: str


def router(context: Context) -> APIRouter:
    """The admins' endpoints."""
    database, clock = context.database, context.clock
    made = APIRouter(tags=["operators"])
    admin = [Depends(context.guard.admin)]

    @made.get("/v1/operators", dependencies=admin)
    def list_operators() -> list[dict[str, object]]:
        """Every operator."""
        with database.read() as session:
            return operators.listed(session)

    @made.post("/v1/operators", dependencies=admin)
    def make_operator(request: Request, body: OperatorRequest) -> OperatorAnswer:
        """A new operator, or a new token and role for a known one."""
        if body.name == operators.FIRST:
            raise HTTPException(409, "This name is the server's own token's.")
        with database.write() as session:
            token = operators.make(session, body.name, body.role, clock())
            actor = str(request.state.actor)
            audit.note(session, clock(), actor, "make operator", body.name, role=body.role)
        return OperatorAnswer(name=body.name, token=token)

    @made.delete("/v1/operators/{name}", status_code=204, dependencies=admin)
    def revoke_operator(
        request: Request, name: Annotated[str, Path(pattern=operators.NAME_PATTERN)]
    ) -> None:
        """Take an operator's token away."""
        with database.write() as session:
            if not operators.revoke(session, name):
                raise HTTPException(404, "There is no such operator.")
            audit.note(session, clock(), str(request.state.actor), "revoke operator", name)

    @made.get("/v1/audit", dependencies=admin)
    def audit_log(
        before: Annotated[int, Query(ge=1, le=2**53)] = 2**53,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> list[dict[str, Any]]:
        """Who changed what, newest first."""
        with database.read() as session:
            return audit.entries(session, before=before, limit=limit)

    return made
