"""The OpenAPI document holds: whatever fits it, and what does not, is answered as it says."""

from __future__ import annotations

import pytest
import schemathesis
from central_kit import FIRST_TOKEN, Fleet
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sync.protocol.wire import compress

DEVICES_OWN = ("/v1/credential", "/v1/ingest", "/v1/poll", "/v1/persons")
# What a schema cannot say: that bytes hold a batch, that one day follows another, which page is
# the last one's. Fitting requests may be refused there.
REFUSES_MORE = {
    "/v1/ingest", "/v1/metrics/daily", "/v1/metrics/unanswered", "/v1/persons/export",
    "/v1/fleet/persons/export",
}  # fmt: skip


@schemathesis.serializer("application/zstd")
def packed(_: object, value: object) -> bytes:
    """A generated body as a device would send it: sound zstd, whatever it holds."""
    return compress(str(value).encode("utf-8", "replace"))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_generated_request_finds_an_answer_that_the_document_does_not_foretell(
    fleet: Fleet,
) -> None:
    fleet.enrol("till-1")
    schema = schemathesis.openapi.from_asgi("/openapi.json", fleet.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 25
    assert {operation.path for operation in operations} > REFUSES_MORE
    for operation in operations:
        own = operation.path.startswith(DEVICES_OWN)
        try_out(operation, fleet.tokens["till-1"] if own else FIRST_TOKEN)


def try_out(operation: APIOperation, token: str) -> None:
    left_out = [positive_data_acceptance] if operation.path in REFUSES_MORE else []

    @settings(
        max_examples=8, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def answered_as_described(case: Case) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        case.call_and_validate(headers=headers, excluded_checks=left_out)

    answered_as_described()
