"""A customer's rights at the central server, asked for by this device."""

from __future__ import annotations

from typing import Any

from edge_runtime.journal import Journal
from sync.errors import SyncError
from sync.exchange import Exchange
from sync.protocol.persons import EraseAnswer, EraseRequest, PersonAnswer, PersonRequest

_MAX_PAGES = 1_000


def send_erasures(journal: Journal, exchange: Exchange) -> int:
    """Have the server erase whom this device has erased; how many it confirmed now.

    While it asks, nothing else of this device is on its way that could bring a record back.

    Raises:
        ProtocolError, CredentialError, SyncError: the server did not confirm; ask again later.
        StorageError: a receipt could not be kept, or another process is sending.
    """
    waiting = journal.persons.erasures(unconfirmed=True)
    if not waiting:
        return 0
    with journal.sending():
        for erasure in waiting:
            request = EraseRequest(
                protocol=1, pseudonyms=list(erasure.pseudonyms), receipt=erasure.receipt
            )
            answer = exchange.ask("/v1/persons/erase", request, EraseAnswer)
            journal.persons.confirm(erasure.number, answer.model_dump_json())
    return len(waiting)


def held_centrally(journal: Journal, exchange: Exchange, user: str) -> list[dict[str, Any]]:
    """Every record of a person the server has from this device.

    Raises:
        ProtocolError, CredentialError, SyncError: the server could not be asked.
        InputError: the id is empty or too long.
    """
    masks = list(journal.persons.pseudonyms(user))
    records: list[dict[str, Any]] = []
    after = ""
    for _ in range(_MAX_PAGES):
        request = PersonRequest(protocol=1, pseudonyms=masks, after=after)
        page = exchange.ask("/v1/persons/export", request, PersonAnswer)
        records += page.records
        after = page.after
        if not after:
            return records
    raise SyncError("The central server's records of this person do not end.")
