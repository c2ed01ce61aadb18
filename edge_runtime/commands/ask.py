"""``ask`` and ``chat``: the turn stream on a terminal."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_runtime.commands.console import err, out, print_json, reported
from edge_runtime.commands.opening import opened_assistant
from edge_runtime.commands.options import Json, Language, Pack, Profile, Session, User
from edge_runtime.config import load_settings
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.turn import Card, Done, Event, Speech, TextDelta, Transcript
from edge_runtime.wire import error_json, event_json, to_json

if TYPE_CHECKING:
    from edge_runtime.assistant import Assistant, TurnRequest

_MAX_LINE = 1_000_000


def ask(
    text: Annotated[str, typer.Argument(help="The question.")] = "",
    audio: Annotated[Path | None, typer.Option(help="A recording of the question.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture: receipt, label, fault.")] = None,
    lang: Language = None,
    session: Session = "",
    user: User = "",
    speak: Annotated[
        Path | None, typer.Option(help="Write the spoken reply to this WAV file.")
    ] = None,
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Ask one question and print the answer.

    [bold]Examples[/]

    edge-runtime ask "你好,我上周买的外套不合适,能退吗?"

    edge-runtime ask --audio question.wav --json

    edge-runtime ask "I need an invoice" --image receipt.jpg --session till-1
    """
    with reported(as_json=json):
        from edge_runtime.running import TurnRequest

        request = TurnRequest(text, audio, image, lang, session, user, speak is not None)
        with opened_assistant(load_settings(profile=profile, pack=pack)) as assistant:
            show = print_nothing if json else _print_live
            events = asyncio.run(_collect(assistant, request, show))
        done = next(event for event in events if isinstance(event, Done))
        if speak is not None:
            _write_speech(events, speak)
        if json:
            print_json(answer_json(done))


def chat(
    session: Session = "",
    user: User = "",
    lang: Language = None,
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Talk in the terminal, one line a turn; Ctrl-D or an empty line ends it.

    [bold]Examples[/]

    edge-runtime chat --user C003

    printf '我的订单什么时候到?\\nR20261118001\\n' | edge-runtime chat --json
    """
    with (
        reported(as_json=json),
        opened_assistant(load_settings(profile=profile, pack=pack)) as assistant,
        # Lines are read between the turns, on the main thread: Ctrl-C always ends the chat.
        asyncio.Runner() as runner,
    ):
        if not json:
            _greet(assistant, lang)
        session = session or uuid.uuid4().hex
        while line := _read_line(prompt=not json):
            runner.run(_chat_turn(assistant, line, session, user, lang, as_json=json))


def _greet(assistant: Assistant, lang: str | None) -> None:
    about = assistant.describe()
    out.print(about["greeting"].get(lang or about["default_language"], ""))


async def _chat_turn(
    assistant: Assistant, line: str, session: str, user: str, lang: str | None, *, as_json: bool
) -> None:
    """One turn; one that fails is told and the chat goes on."""
    from edge_runtime.running import TurnRequest

    request = TurnRequest(line, language=lang, session=session, user=user)
    try:
        async for event in assistant.turn(request):
            if as_json:
                print_json(event_json(event))
            else:
                _print_live(event)
    except EdgeRuntimeError as error:
        if as_json:
            print_json(error_json(error))
        else:
            err.print(str(error), style="red", markup=False)


def _read_line(*, prompt: bool) -> str:
    """The next line, empty at the end; of an endless one only the beginning is kept."""
    if prompt:
        out.print("› ", end="")
    line = rest = sys.stdin.readline(_MAX_LINE)
    while rest and not rest.endswith("\n"):
        rest = sys.stdin.readline(_MAX_LINE)
    return line.strip()


async def _collect(
    assistant: Assistant, request: TurnRequest, show: Callable[[Event], None]
) -> list[Event]:
    events = []
    async for event in assistant.turn(request):
        show(event)
        events.append(event)
    return events


def _print_live(event: Event) -> None:
    if isinstance(event, Transcript):
        out.print(f"« {event.text} »", style="dim", markup=False)
    elif isinstance(event, TextDelta):
        out.print(event.text, end="", markup=False, soft_wrap=True)
    elif isinstance(event, Done):
        out.print()
        for card in event.cards:
            _print_card(card)
        if event.sources:
            out.print(f"  [{', '.join(event.sources)}]", style="dim", markup=False)


def _print_card(card: Card) -> None:
    lines = [card.title, card.body, card.image, "  ".join(f"({b})" for b in card.buttons)]
    out.print("\n".join(f"  │ {line}" for line in lines if line), style="cyan", markup=False)


def print_nothing(_: Event) -> None:
    """For callers that print the turn when it is over."""


def answer_json(done: Done) -> dict[str, Any]:
    """The object that ``ask --json`` prints."""
    return dict(to_json(done))


def _write_speech(events: list[Event], path: Path) -> None:
    import numpy as np

    from edge_runtime.audio import wav_bytes
    from edge_runtime.errors import EngineError, StorageError
    from edge_runtime.turn import Audio

    spoken = [event.audio for event in events if isinstance(event, Speech)]
    if not spoken:
        raise EngineError("The reply could not be spoken.", hint="Run 'edge-runtime doctor'.")
    joined = Audio(np.concatenate([audio.samples for audio in spoken]), spoken[0].rate)
    try:
        path.write_bytes(wav_bytes(joined))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
