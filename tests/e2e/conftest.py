"""Fixtures of the kiosk tests: one server and one browser for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kiosk_kit import (
    CHROMIUM,
    CHROMIUM_FLAGS,
    Kiosk,
    Problems,
    Server,
    open_kiosk,
    serving,
)
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright


@pytest.fixture(scope="session")
def kiosk_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The assistant with its real engines, profile standard."""
    with serving(tmp_path_factory.mktemp("kiosk") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Ends with its module: while it runs, no other test of this process can run an event loop."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def problems() -> Iterator[Problems]:
    """The page's console must stay free of errors, but for those that a test expects."""
    found = Problems()
    yield found
    assert [text for text in found if not any(part in text for part in found.expected)] == []


@pytest.fixture
def kiosk(chromium: Browser, kiosk_server: Server, problems: Problems) -> Iterator[Kiosk]:
    """Opens the page, silent unless told otherwise, in a browser profile of its own."""
    contexts: list[BrowserContext] = []

    def open_page(
        size: tuple[int, int] = (1280, 800),
        *,
        muted: bool = True,
        microphone: bool = True,
        address: str = kiosk_server.address,
        clock: bool = False,
    ) -> Page:
        permissions = ["microphone", "camera"] if microphone else []
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, permissions=permissions
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        if clock:
            page.clock.install()
        open_kiosk(page, address, muted=muted)
        return page

    yield open_page
    for context in contexts:
        context.close()
