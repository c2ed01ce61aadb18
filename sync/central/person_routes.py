"""Endpoints for a customer's rights: devices reach their own records, operators the whole fleet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from sync.central import persons
from sync.central.database import Database
from sync.protocol import PROTOCOL, EraseAnswer, EraseRequest, PersonAnswer, PersonRequest


def router(
    database: Database,
    device: Callable[..., None],
    operator: Callable[..., None],
    clock: Callable[[], datetime],
) -> APIRouter:
    """The endpoints.

    Args:
        device: lets a device through, with its id in ``request.state.device_id``.
        operator: lets an operator through who may change things.
    """
    made = APIRouter(tags=["persons"])

    def erase(scope: str, asked: EraseRequest) -> EraseAnswer:
        with database.write() as session:
            return persons.erase(
                session,
                device_id=scope,
                pseudonyms=asked.pseudonyms,
                request=asked.receipt,
                now=clock(),
            )

    def export(scope: str, asked: PersonRequest) -> PersonAnswer:
        try:
            with database.read() as session:
                records, after = persons.kept(
                    session, device_id=scope, pseudonyms=asked.pseudonyms, after=asked.after
                )
        except ValueError as error:
            raise HTTPException(422, f"after: {error}.") from error
        return PersonAnswer(records=records, after=after)

    @made.post("/v1/persons/erase", dependencies=[Depends(device)])
    def erase_own(asked: EraseRequest, request: Request) -> EraseAnswer:
        """Erase persons from the calling device's records."""
        return erase(request.state.device_id, asked)

    @made.post("/v1/persons/export", dependencies=[Depends(device)])
    def export_own(asked: PersonRequest, request: Request) -> PersonAnswer:
        """What is kept of persons from the calling device."""
        return export(request.state.device_id, asked)

    @made.post("/v1/fleet/persons/erase", dependencies=[Depends(operator)])
    def erase_everywhere(asked: EraseRequest) -> EraseAnswer:
        """Erase persons from every device's records."""
        return erase(persons.EVERYWHERE, asked)

    @made.post("/v1/fleet/persons/export", dependencies=[Depends(operator)])
    def export_everywhere(asked: PersonRequest) -> PersonAnswer:
        """What is kept of persons from every device."""
        return export(persons.EVERYWHERE, asked)

    @made.get("/v1/fleet/erasures", dependencies=[Depends(operator)])
    def erasures(
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 100,
    ) -> dict[str, Any]:
        """The receipts of erasures with ids above ``after``, oldest first."""
        with database.read() as session:
            return {"protocol": PROTOCOL, "erasures": persons.receipts(session, after, limit)}

    return made
