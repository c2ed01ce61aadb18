"""``serve``: the kiosk page and the API on this device."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from edge_runtime.commands.console import err, print_json, reported
from edge_runtime.commands.opening import serving_assistant
from edge_runtime.commands.options import Json, Pack, Profile
from edge_runtime.config import Settings, load_settings
from edge_runtime.errors import ConfigError
from edge_runtime.systemd import ALIVE, READY, tell_systemd

if TYPE_CHECKING:
    from edge_runtime.assistant import Assistant
    from edge_runtime.serving import BundleKeeper

_SHUTDOWN_S = 5
_BACKLOG = 64
_NOTIFY_S = 30


def serve(
    profile: Profile = None,
    pack: Pack = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 is refused.")] = None,
    json: Json = False,
) -> None:
    """Serve the kiosk page and the API; on 127.0.0.1:8765 unless told otherwise.

    [bold]Examples[/]

    edge-runtime serve

    EDGE_PORT=9000 edge-runtime serve --profile lite

    edge-runtime serve --json   (prints its address as a JSON object once it is ready)
    """
    with reported(as_json=json):
        settings = load_settings(profile=profile, pack=pack, host=host, port=port)
        listening = _listen(settings)
        with serving_assistant(settings) as (assistant, keeper):
            _run(assistant, keeper, settings, listening, as_json=json)


def _run(
    assistant: Assistant,
    keeper: BundleKeeper,
    settings: Settings,
    listening: socket.socket,
    *,
    as_json: bool,
) -> None:
    import uvicorn

    from edge_runtime.api.app import create_app
    from edge_runtime.api.requests import max_message_bytes

    config = uvicorn.Config(
        create_app(assistant, hosts=_hosts(settings)),
        log_level="warning",
        ws_max_size=max_message_bytes(settings),
        limit_concurrency=64,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
        callback_notify=_notify,
        timeout_notify=_NOTIFY_S,
    )
    address = f"http://{settings.host}:{settings.port}/"
    if as_json:
        print_json({"ready": address})
    else:
        err.print(f"The assistant is ready: {address}", markup=False)
    server = uvicorn.Server(config)
    keeper.start(lambda: server.started)
    server.run(sockets=[listening])


async def _notify() -> None:
    """Called by the loop that answers: one that hangs is started anew."""
    tell_systemd(READY, ALIVE)


def _listen(settings: Settings) -> socket.socket:
    """The listening socket, taken before anything slow so that a busy port is told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            hint="Stop the other program, or set EDGE_PORT to a free port.",
        ) from error
    return listening


def _hosts(settings: Settings) -> tuple[str, ...]:
    local = ("127.0.0.1", "localhost", "[::1]")
    return local if settings.host in {"127.0.0.1", "::1", "localhost"} else ("*",)
