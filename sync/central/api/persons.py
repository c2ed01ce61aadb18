"""Endpoints for a customer's rights: devices reach their own records, operators the whole fleet."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from sync.central import audit, ledger, persons
from sync.central.api.context import Context
from sync.protocol.base import PROTOCOL
from sync.protocol.persons import EraseAnswer, EraseRequest, PersonAnswer, PersonRequest


def router(context: Context) -> APIRouter:
    database, guard, clock = context.database, context.guard, context.clock
    made = APIRouter(tags=["persons"])

    def erase(scope: str, asked: EraseRequest, actor: str) -> EraseAnswer:
        with database.write() as session:
            answer = persons.erase(
                session,
                device_id=scope,
                pseudonyms=asked.pseudonyms,
                request=asked.receipt,
                now=clock(),
            )
            audit.note(session, clock(), actor, "erase person", receipt=answer.digest)
        return answer

    def export(scope: str, asked: PersonRequest) -> PersonAnswer:
        try:
            with database.read() as session:
                records, after = persons.kept(
                    session, device_id=scope, pseudonyms=asked.pseudonyms, after=asked.after
                )
        except ValueError as error:
            raise HTTPException(422, f"after: {error}.") from error
        return PersonAnswer(records=records, after=after)

    @made.post("/v1/persons/erase", dependencies=[Depends(guard.device)])
    def erase_own(asked: EraseRequest, request: Request) -> EraseAnswer:
        """Erase persons from the calling device's records."""
        device_id = request.state.device_id
        return erase(device_id, asked, f"device:{device_id}")

    @made.post("/v1/persons/export", dependencies=[Depends(guard.device)])
    def export_own(asked: PersonRequest, request: Request) -> PersonAnswer:
        """What is kept of persons from the calling device."""
        return export(request.state.device_id, asked)

    @made.post("/v1/fleet/persons/erase", dependencies=[Depends(guard.operator)])
    def erase_everywhere(asked: EraseRequest, request: Request) -> EraseAnswer:
        """Erase persons from every device's records."""
        return erase(persons.EVERYWHERE, asked, str(request.state.actor))

    @made.post("/v1/fleet/persons/export", dependencies=[Depends(guard.operator)])
    def export_everywhere(asked: PersonRequest) -> PersonAnswer:
        """What is kept of persons from every device."""
        return export(persons.EVERYWHERE, asked)

    @made.get("/v1/fleet/erasures", dependencies=[Depends(guard.operator)])
    def erasures(
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 100,
    ) -> dict[str, Any]:
        """The receipts of erasures with ids above ``after``, oldest first."""
        with database.read() as session:
            return {"protocol": PROTOCOL, "erasures": ledger.receipts(session, after, limit)}

    return made
