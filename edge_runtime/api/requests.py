"""Reading what clients send, every size bounded."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from edge_runtime.assistant import TurnRequest
from edge_runtime.config import Settings
from edge_runtime.errors import AudioError, ImageError, InputError, TextError

_Id = Annotated[str, StringConstraints(max_length=64, pattern=r"^[\w.:@+-]*$")]
_Language = Annotated[str, StringConstraints(max_length=8, pattern=r"^[A-Za-z-]*$")]


class AskMessage(BaseModel):
    """One question: text, and/or a picture or a recording in base64."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["ask"] = "ask"
    text: str = ""
    audio: str = ""
    image: str = ""
    language: _Language = ""
    session: _Id = ""
    user: _Id = ""
    speak: bool = False


class ListenMessage(BaseModel):
    """The microphone is open: 16-bit 16 kHz mono frames follow, until ``listened``."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["listen"]
    language: _Language = ""
    session: _Id = ""
    user: _Id = ""
    speak: bool = True
    hands_free: bool = False
    """End by itself when the customer stops speaking."""


async def read_ask(request: Request, settings: Settings) -> TurnRequest:
    """The question in a POST body (JSON).

    Raises:
        InputError: too large or not of the expected form.
    """
    limit = max_message_bytes(settings)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise InputError(f"The request is larger than {limit // 2**20} MiB.")
    try:
        return turn_request(AskMessage.model_validate_json(bytes(body)), settings)
    except ValidationError as error:
        raise InputError(describe(error), hint="See docs/api.md for the request's form.") from error


def turn_request(message: AskMessage, settings: Settings) -> TurnRequest:
    """The turn a message asks for.

    Raises:
        TextError, AudioError, ImageError: a part is too large or not base64.
    """
    if len(message.text) > settings.max_text_chars:
        raise TextError(
            f"The text has {len(message.text)} characters; {settings.max_text_chars} are read."
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


def describe(error: ValidationError) -> str:
    """A validation error as one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    return f"The request's '{where}' is wrong: {first['msg']}."


def _decoded(value: str, limit: int, kind: type[InputError], what: str) -> bytes | None:
    if not value:
        return None
    if len(value) > limit * 4 // 3 + 4:
        raise kind(f"The {what} is larger than {limit // 2**20} MiB.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise kind(f"The {what} is not valid base64.") from error
