"""Driving the kiosk page: a server as a child process, and what a customer does at the screen."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, expect

EDGE_RUNTIME = Path(sys.executable).with_name("edge-runtime")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]
FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"

PATIENCE_MS = 90_000
"""The first answer of a kind loads its models; on a busy machine that takes a while."""

COUNTERS = """
window.sounds = {started: 0, stopped: 0, endless: false};
for (const [call, count] of [["start", "started"], ["stop", "stopped"]]) {
  const original = AudioBufferSourceNode.prototype[call];
  AudioBufferSourceNode.prototype[call] = function (...args) {
    window.sounds[count]++;
    this.loop = window.sounds.endless;
    return original.apply(this, args);
  };
}
window.sent = {messages: [], bytes: 0};
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (data instanceof ArrayBuffer) window.sent.bytes += data.byteLength;
  else window.sent.messages.push(JSON.parse(data));
  return send.call(this, data);
};
"""
"""What the page hands to the loudspeaker and to the device, counted where it leaves the page."""


class Problems(list[str]):
    """Errors in the page's console, of which those that hold a text in ``expected`` are none."""

    expected: tuple[str, ...] = ()


class Server:
    """``edge-runtime serve`` on a free port with its own data folder; can be stopped and started.

    Args:
        data: the data folder.
        profile: which engines it uses.
    """

    def __init__(self, data: Path, profile: str = "standard") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._environment = {
            **os.environ,
            "EDGE_DATA_DIR": str(data),
            "EDGE_PORT": str(self.port),
            "EDGE_PROFILE": profile,
        }
        self._log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [EDGE_RUNTIME, "serve"], env=self._environment, stdout=log, stderr=log
            )
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, timeout=60) as client:
            while not self._answers(client):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.2)
                assert self._process.poll() is None, self._log.read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def _answers(self, client: httpx.Client) -> bool:
        try:
            return client.get(self.address + "api/health").is_success
        except httpx.TransportError:
            return False


@contextlib.contextmanager
def serving(data: Path, profile: str = "standard") -> Iterator[Server]:
    server = Server(data, profile)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def open_kiosk(page: Page, address: str, *, muted: bool = True) -> None:
    """Open the page and wait until it is connected."""
    page.add_init_script(COUNTERS)
    with page.expect_websocket():
        page.goto(address)
    page.wait_for_selector("body[data-ready]")
    if muted:
        page.click("#mute")


def ask(page: Page, text: str) -> str:
    """Type a question; the whole answer."""
    page.fill("#text", text)
    page.press("#text", "Enter")
    return answer(page)


def answer(page: Page) -> str:
    """The newest answer, once it is complete."""
    newest = page.locator(".turn").last
    expect(newest).not_to_have_attribute("aria-busy", "true", timeout=PATIENCE_MS)
    return newest.locator(".assistant .bubble").inner_text()


def hold(page: Page) -> tuple[float, float]:
    """Put a finger on the talk button; where it is."""
    box = page.locator("#mic").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def until(page: Page, condition: str) -> None:
    """Wait for a condition in the page (Playwright's own wait evaluates text, which the page's
    content security policy forbids)."""
    page.evaluate(
        f"""async () => {{
          const end = performance.now() + {PATIENCE_MS};
          while (!({condition})) {{
            if (performance.now() > end) throw new Error("it did not come to that");
            await new Promise((resolve) => setTimeout(resolve, 20));
          }}
        }}"""
    )


def heard_bytes(page: Page, count: int) -> None:
    """Wait until that many bytes of microphone sound have left the page."""
    until(page, f"window.sent.bytes >= {count}")


def sent(page: Page, kind: str) -> list[dict[str, object]]:
    """Messages of one type that the page has sent."""
    messages: list[dict[str, object]] = page.evaluate("window.sent.messages")
    return [message for message in messages if message["type"] == kind]


def text_picture(path: Path, lines: tuple[str, ...], size: int = 34) -> Path:
    """A picture of a few printed lines."""
    image = Image.new("RGB", (620, 70 + 56 * len(lines)), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.truetype(FONT, size)
    for number, line in enumerate(lines):
        pen.text((36, 30 + 56 * number), line, fill="black", font=font)
    image.save(path)
    return path


Kiosk = Callable[..., Page]
