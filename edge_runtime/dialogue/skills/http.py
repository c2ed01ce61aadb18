"""Skills declared in the pack as calls to the shop's own system."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from urllib.parse import urlsplit

import httpx

from edge_runtime.dialogue.outbound import Call, Delivery, OutboundQueue
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.errors import PackError
from edge_runtime.packs import HttpSkill

MAX_RESPONSE_BYTES = 64 * 1024
_TRY_AGAIN = frozenset({408, 425, 429})


class DeclaredCall:
    """One declared call: its URL only, no redirects, a bounded time and answer.

    Args:
        declared: as read from the pack.
        queue: where calls wait while the shop's system cannot be reached.
        transport: for tests.

    Raises:
        PackError: the URL is neither https nor on this machine.
    """

    def __init__(
        self,
        declared: HttpSkill,
        queue: OutboundQueue,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        _check_url(declared)
        self._declared = declared
        self._queue = queue
        self._transport = transport

    def run(self, request: SkillRequest) -> SkillOutcome:
        missing = self._missing(request)
        if missing:
            return missing
        fields = {name: request.slot(name) for name in self._declared.fields}
        call = Call(self._key(request, fields), self._declared.name, fields)
        delivery = self.send(call)
        source = (f"http:{self._declared.name}",)
        if delivery == "done":
            return SkillOutcome(self._declared.reply, request.state, fields, sources=source)
        if delivery == "unreachable" and self._declared.method == "POST":
            self._queue.add(call)
            return SkillOutcome("queued_offline", request.state, sources=source)
        # A refused request, or a question that nobody is there to answer, needs a person.
        return SkillOutcome("handover_low_confidence", request.state).over()

    def send(self, call: Call) -> Delivery:
        """Send ``call`` once. The answer's content is not used: the pack's reply says it all."""
        declared = self._declared
        body = json.dumps(dict(call.fields), ensure_ascii=False).encode()
        sends = declared.method == "POST"
        headers = {"Idempotency-Key": call.key, "Accept": "application/json"}
        if sends:
            headers["Content-Type"] = "application/json"
        try:
            with (
                httpx.Client(
                    timeout=declared.timeout_s,
                    follow_redirects=False,
                    trust_env=False,
                    transport=self._transport,
                ) as client,
                client.stream(
                    declared.method,
                    declared.url,
                    headers=headers,
                    content=body if sends else None,
                    params=None if sends else dict(call.fields),
                ) as response,
            ):
                return _delivery(response)
        except (httpx.HTTPError, OSError):
            return "unreachable"

    def _missing(self, request: SkillRequest) -> SkillOutcome | None:
        intent = request.pack.intents.get(request.decision.intent)
        for slot in intent.slots if intent else ():
            if slot.required and slot.ask and not request.slot(slot.name):
                return SkillOutcome(slot.ask, request.state, awaiting=slot.name)
        return None

    def _key(self, request: SkillRequest, fields: dict[str, str]) -> str:
        parts = (self._declared.name, request.turn_key, json.dumps(fields, sort_keys=True))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _check_url(declared: HttpSkill) -> None:
    try:
        url = urlsplit(declared.url)
        host = url.hostname or ""
    except ValueError as error:
        raise PackError(f"The skill '{declared.name}' has no valid address: {error}.") from error
    if not host or not (url.scheme == "https" or (url.scheme == "http" and _is_here(host))):
        raise PackError(
            f"The skill '{declared.name}' may not call {declared.url}.",
            file="pack.toml",
            hint="Use https, or http on this machine.",
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _delivery(response: httpx.Response) -> Delivery:
    """What the status means, once a bounded part of the answer has been read."""
    size = 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            break
    if response.is_success:
        return "done"
    status = response.status_code
    return "unreachable" if status >= 500 or status in _TRY_AGAIN else "refused"
