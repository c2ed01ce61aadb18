"""Reading what clients send, every size bounded."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from edge_runtime.assistant import TurnRequest
from edge_runtime.config import Settings
from edge_runtime.errors import AudioError, ImageError, InputError, TextError

_Id = Annotated[str, StringConstraints(max_length=64, pattern=r"^[\w.:@+-]*$")]
_Language = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z0-9_-]*$")]

_ARRIVAL_S = 30.0
"""A body that trickles in slower than this is refused: it would hold a connection for ever."""
_SHOWN_NAME = 60


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskMessage(_Message):
    """One question: text, and/or a picture or a recording in base64."""

    type: Literal["ask"] = "ask"
    text: str = ""
    audio: str = ""
    image: str = ""
    language: _Language = ""
    session: _Id = ""
    user: _Id = ""
    speak: bool = False
    turn: _Id = ""
    """Chosen by the client and repeated in every event of this turn."""


class ListenMessage(_Message):
    """The microphone is open: 16-bit 16 kHz mono frames follow, until ``listened``."""

    type: Literal["listen"]
    language: _Language = ""
    session: _Id = ""
    user: _Id = ""
    speak: bool = True
    turn: _Id = ""
    hands_free: bool = False
    """End by itself when the customer stops speaking."""


class ListenedMessage(_Message):
    """The recording is complete: answer it."""

    type: Literal["listened"]


class CancelMessage(_Message):
    """Stop listening and answering."""

    type: Literal["cancel"]


ClientMessage = Annotated[
    AskMessage | ListenMessage | ListenedMessage | CancelMessage, Field(discriminator="type")
]
_CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


def read_message(text: str) -> ClientMessage:
    """One WebSocket text message.

    Raises:
        InputError: not JSON, or not one of the known messages.
    """
    try:
        return _CLIENT_MESSAGE.validate_json(text)
    except ValidationError as error:
        raise InputError(_describe(error), hint="See docs/api.md for the messages.") from error


async def read_ask(request: Request, settings: Settings) -> TurnRequest:
    """The question in a POST body (JSON).

    Raises:
        InputError: too large, too slow, or not of the expected form.
    """
    try:
        async with asyncio.timeout(_ARRIVAL_S):
            body = await _read_body(request, max_message_bytes(settings))
        return turn_request(AskMessage.model_validate_json(body), settings)
    except TimeoutError as error:
        raise InputError(f"The request did not arrive within {_ARRIVAL_S:.0f} seconds.") from error
    except ClientDisconnect as error:
        raise InputError("The request broke off.") from error
    except ValidationError as error:
        raise InputError(_describe(error), hint="See docs/api.md for the request.") from error


async def _read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise InputError(f"The request is larger than {limit // 2**20} MiB.")
    return bytes(body)


def turn_request(message: AskMessage, settings: Settings) -> TurnRequest:
    """The turn a message asks for.

    Raises:
        TextError, AudioError, ImageError: a part is too large or not base64.
    """
    if len(message.text) > settings.max_text_chars:
        raise TextError(
            f"The text has {len(message.text)} characters; at most "
            f"{settings.max_text_chars} are read.",
            hint="Ask in fewer words.",
        )
    return TurnRequest(
        text=message.text,
        audio=_decoded(message.audio, settings.max_audio_bytes, AudioError, "recording"),
        image=_decoded(message.image, settings.max_image_bytes, ImageError, "picture"),
        language=message.language or None,
        session=message.session,
        user=message.user,
        speak=message.speak,
    )


def max_message_bytes(settings: Settings) -> int:
    """The largest message that can hold a recording and a picture in base64."""
    return (settings.max_audio_bytes + settings.max_image_bytes) * 4 // 3 + 65536


def _describe(error: ValidationError) -> str:
    """A validation error as one sentence; what the client named is cut to a readable length."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    return f"The request's '{where[:_SHOWN_NAME]}' is wrong: {first['msg'][:300]}."


def _decoded(value: str, limit: int, kind: type[InputError], what: str) -> bytes | None:
    if not value:
        return None
    if len(value) > limit * 4 // 3 + 4:
        raise kind(f"The {what} is larger than {limit // 2**20} MiB.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise kind(f"The {what} is not valid base64.") from error
