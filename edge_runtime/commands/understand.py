"""``understand``: utterances in, understandings out, for scoring and for curiosity."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.commands.opening import opened_rooms, preparing
from edge_runtime.commands.options import Json, Language, Pack, Profile
from edge_runtime.config import Settings, load_settings
from edge_runtime.errors import TextError
from edge_runtime.languages import language_code
from edge_runtime.turn import Understanding
from edge_runtime.wire import to_json

UnderstandMany = Callable[[Sequence[str], Sequence[str | None]], list[Understanding]]

_BATCH = 32
_MAX_LINE = 1_000_000


def understand(
    text: Annotated[
        list[str] | None, typer.Argument(help="Utterances; else JSONL on standard input.")
    ] = None,
    lang: Language = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Folder of a bundle made by 'edge-convert train-nlu': its intents."),
    ] = None,
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Language, intent, sentiment and entities of utterances, one JSON object a line.

    Without arguments, JSON Lines with a [bold]text[/] (and perhaps a [bold]lang[/]) are read from
    standard input, and the answers come in the same order.

    [bold]Examples[/]

    edge-runtime understand "我的订单什么时候到?"

    edge-runtime understand < utterances.jsonl > understood.jsonl

    edge-runtime understand --bundle my-intents < utterances.jsonl
    """
    as_json = json or not text
    with reported(as_json=as_json):
        settings = load_settings(profile=profile, pack=pack)
        lines: Iterator[tuple[str, str | None]]
        if text:
            lines = ((one, language_code(lang)) for one in text)
        else:
            lines = _read(sys.stdin, lang, settings.max_text_chars)
        with _opened(settings, bundle) as understand_many:
            for batch in _batches(lines):
                texts, languages = zip(*batch, strict=True)
                for result in understand_many(texts, languages):
                    shown = _shown(to_json(result))
                    if as_json:
                        print_json(shown)
                    else:
                        out.print_json(data=shown)


@contextmanager
def _opened(settings: Settings, bundle: Path | None) -> Iterator[UnderstandMany]:
    if bundle is None:
        with opened_rooms(settings) as rooms:
            yield rooms.understand_many
        return
    from edge_runtime.trained import opened_bundle

    with opened_bundle(bundle, settings) as understander:
        with preparing() as progress:
            understander.prepare(progress)
        yield lambda texts, languages: [
            understander.understand(text, language=language)
            for text, language in zip(texts, languages, strict=True)
        ]


def _shown(value: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "text",
        "language",
        "intent",
        "intent_confidence",
        "sentiment",
        "entities",
        "normalized",
    )
    return {key: value[key] for key in keys}


def _read(stream: TextIO, lang: str | None, limit: int) -> Iterator[tuple[str, str | None]]:
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if not line.strip():
            continue
        try:
            value = json_module.loads(line)
            utterance, spoken = value["text"], value.get("lang") or value.get("language")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TextError(
                f"Line {number} of standard input is not a JSON object with a 'text'.",
                hint='Each line looks like {"text": "where is my order?"}.',
            ) from error
        if not isinstance(utterance, str) or not 0 < len(utterance.strip()) <= limit:
            raise TextError(f"The 'text' in line {number} is not one of 1 to {limit} characters.")
        yield utterance, language_code(lang or (str(spoken) if spoken else None))


def _batches(
    lines: Iterator[tuple[str, str | None]],
) -> Iterator[list[tuple[str, str | None]]]:
    """Batches of lines; what came before a bad line is still answered before it is reported."""
    batch: list[tuple[str, str | None]] = []
    bad: TextError | None = None
    try:
        for line in lines:
            batch.append(line)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    except TextError as error:
        bad = error
    if batch:
        yield batch
    if bad:
        raise bad
