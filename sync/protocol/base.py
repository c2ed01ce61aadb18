"""What every message is made of: its fields, the answer to a bad one, and how one is refused."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.errors import InputError

PROTOCOL: Final = 1

Id = Annotated[str, Field(min_length=1, max_length=128)]
Short = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]
Time = Annotated[str, Field(max_length=40)]
Probability = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seq = Annotated[int, Field(ge=1, le=2**53)]


class ProtocolError(InputError):
    """What the other side sent is not this protocol: too big, torn, or malformed."""


class Model(BaseModel):
    """Unknown fields are ignored: a newer device may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Refusal(Model):
    """The body of every error answer. Its ``protocol`` tells the server's own verdict on a batch
    from one by a proxy in between, on which nothing may be given up."""

    protocol: Literal[1]
    error: Short


def is_own_refusal(answer: bytes) -> bool:
    """Whether an error answer comes from a central server."""
    try:
        return Refusal.model_validate_json(answer).protocol == PROTOCOL
    except ValidationError:
        return False


def first_problem(error: ValidationError) -> str:
    """A validation error's first finding, without the offending content."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"[:200]
