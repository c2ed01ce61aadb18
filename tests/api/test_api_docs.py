"""The examples of docs/api.md are what the code reads and writes."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from edge_runtime.api.requests import (
    AskMessage,
    CancelMessage,
    ListenedMessage,
    ListenMessage,
    read_message,
)
from edge_runtime.config import Settings
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.turn import Audio, Event, Speech
from edge_runtime.wire import _NAMES, error_json, event_json

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
EXAMPLES = [
    json.loads(line)
    for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
REQUESTS = {"ask": AskMessage, "listen": ListenMessage} | {
    "listened": ListenedMessage,
    "cancel": CancelMessage,
}
BY_TYPE = {example["type"]: example for example in EXAMPLES}


@pytest.mark.parametrize("kind", list(REQUESTS))
def test_client_messages_show_every_field(kind: str) -> None:
    example = BY_TYPE[kind]
    assert isinstance(read_message(json.dumps(example)), REQUESTS[kind])
    assert set(example) == set(REQUESTS[kind].model_fields)


@pytest.mark.parametrize(("event", "name"), list(_NAMES.items()))
def test_events_show_every_field(event: Any, name: str) -> None:
    shown = set(BY_TYPE[name]) - {"type", "turn"}
    assert shown == {field.name for field in fields(event)}


def test_every_event_is_documented() -> None:
    assert set(get_args(Event)) == {*_NAMES, Speech}
    known = {*REQUESTS, *_NAMES.values(), "speech", "error", "heard", "cancelled"}
    assert set(BY_TYPE) == known


def test_speech_and_errors_look_as_documented() -> None:
    speech = event_json(Speech(Audio(np.zeros(16, np.float32), 16000), "hi", 0))
    assert set(speech) == set(BY_TYPE["speech"])
    assert set(error_json(EdgeRuntimeError("no"))) == set(BY_TYPE["error"])


@pytest.mark.parametrize("name", re.findall(r"`EDGE_(\w+)`", PAGE))
def test_settings_named_in_the_page_exist(name: str) -> None:
    assert name.lower() in Settings.model_fields
