"""``listen``, ``transcribe``, ``ocr`` and ``speak``: one stage each, from and to files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_runtime.commands.console import err, error_object, out, print_json, reported
from edge_runtime.commands.opening import opened_rooms, serving_assistant
from edge_runtime.commands.options import Files, Json, Language, Pack, Profile, Session, User
from edge_runtime.config import Settings, load_settings
from edge_runtime.errors import EdgeRuntimeError, StorageError, TextError
from edge_runtime.languages import language_code
from edge_runtime.wire import to_json

if TYPE_CHECKING:
    from edge_runtime.rooms import Rooms


def transcribe(
    files: Files,
    lang: Language = None,
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Write down what is said in recordings, one line a file, in the order given.

    [bold]Examples[/]

    edge-runtime transcribe question.wav --lang zh

    edge-runtime transcribe recordings/*.flac --json
    """
    with reported(as_json=json), _alone(load_settings(profile=profile, pack=pack)) as rooms:

        def one(path: Path) -> dict[str, Any]:
            heard = rooms.transcribe(path, language_code(lang))
            return {
                "text": heard.text,
                "lang": heard.language,
                "confidence": round(heard.confidence, 4),
            }

        _each(files, one, as_json=json)


def ocr(
    files: Files,
    lang: Language = None,
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Read the text of pictures, one line a file, with receipt fields where there are any.

    [bold]Examples[/]

    edge-runtime ocr receipt.jpg --json

    edge-runtime ocr --profile lite label.png
    """
    with reported(as_json=json), _alone(load_settings(profile=profile, pack=pack)) as rooms:

        def one(path: Path) -> dict[str, Any]:
            read = rooms.read(path, language_code(lang))
            return {
                "text": read.text,
                "lines": to_json(read.lines),
                "fields": dict(read.fields),
                "confidence": round(read.confidence, 4),
            }

        _each(files, one, as_json=json)


def speak(
    text: Annotated[str, typer.Argument(help="What to say; '-' reads standard input.")],
    output: Annotated[Path, typer.Option("--out", "-o", help="The WAV file to write.")],
    lang: Language = None,
    voice: Annotated[str, typer.Option(help="A voice of the engine, such as zf_xiaoxiao.")] = "",
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Say a text into a WAV file.

    [bold]Examples[/]

    edge-runtime speak "您好,欢迎光临" -o hello.wav

    edge-runtime speak "Your order arrives tomorrow." --lang en --voice af_heart -o out.wav
    """
    with reported(as_json=json):
        from edge_runtime.audio import wav_bytes

        settings = load_settings(profile=profile, pack=pack)
        limit = settings.max_text_chars
        words = sys.stdin.read(limit + 1) if text == "-" else text
        if not words.strip():
            raise TextError("There is nothing to say.", hint="Give a text.")
        if len(words) > limit:
            raise TextError(f"The text is longer than {limit} characters.", hint="Split it.")
        with _alone(settings) as rooms:
            language = language_code(lang) or rooms.language_of(words)
            audio = rooms.say_all(words, language, voice)
        if not len(audio.samples):
            raise TextError("The text holds nothing that can be spoken.", hint="Give words.")
        try:
            output.write_bytes(wav_bytes(audio))
        except OSError as error:
            raise StorageError(f"{output} cannot be written: {error.strerror}.") from error
        result = {"file": str(output), "lang": language, "seconds": round(audio.seconds, 3)}
        if json:
            print_json(result)
        else:
            out.print(f"{output}: {audio.seconds:.1f} s ({language})")


def listen(
    session: Session = "",
    user: User = "",
    lang: Language = None,
    profile: Profile = None,
    pack: Pack = None,
) -> None:
    """Talk hands-free: raw 16-bit 16 kHz mono sound on standard input, replies on the terminal
    and through the loudspeaker program given by [bold]EDGE_PLAYER[/] (default aplay).

    [bold]Example[/]

    arecord -q -f S16_LE -r 16000 -c 1 -t raw | edge-runtime listen
    """
    with reported(as_json=False):
        from edge_runtime.microphone import serve_microphone

        with serving_assistant(load_settings(profile=profile, pack=pack)) as (assistant, keeper):
            keeper.start()
            asyncio.run(serve_microphone(assistant, session=session, user=user, language=lang))


def _alone(settings: Settings) -> AbstractContextManager[Rooms]:
    """The engines without what only text needs."""
    return opened_rooms(settings, prepared=False)


def _each(files: list[Path], work: Callable[[Path], dict[str, Any]], *, as_json: bool) -> None:
    """One result a line in input order; a bad file gets its own error line and exit code."""
    exit_code = 0
    for path in files:
        try:
            result = {"file": str(path), **work(path)}
        except EdgeRuntimeError as error:
            exit_code = error.exit_code
            if as_json:
                print_json({"file": str(path), "error": error_object(error)})
            else:
                err.print(f"{path}: {error}", style="red", markup=False, soft_wrap=True)
            continue
        if as_json:
            print_json(result)
        else:
            _print_result(path, result, alone=len(files) == 1)
    if exit_code:
        raise typer.Exit(exit_code)


def _print_result(path: Path, result: dict[str, Any], *, alone: bool) -> None:
    out.print(
        result["text"] if alone else f"{path}: {result['text']}", markup=False, soft_wrap=True
    )
    for name, value in result.get("fields", {}).items():
        out.print(f"  {name}: {value}", style="cyan", markup=False)
