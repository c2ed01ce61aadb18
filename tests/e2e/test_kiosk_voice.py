"""Hold to talk in a real Chromium: a recorded question, speech out loud, and every way to slip."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kiosk_kit import (
    CHROMIUM,
    CHROMIUM_FLAGS,
    EDGE_RUNTIME,
    PATIENCE_MS,
    Kiosk,
    Server,
    answer,
    ask,
    heard_bytes,
    hold,
    open_kiosk,
    sent,
    until,
)
from playwright.sync_api import Page, Playwright, expect

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.xdist_group("kiosk")]

QUESTION = "我上周买的外套不合适，能退吗？"
SECOND = 2 * 16000
"""Bytes of a second of microphone sound."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The question in the assistant's own voice, silence before and after."""
    spoken = tmp_path_factory.mktemp("voice") / "question.wav"
    command = [EDGE_RUNTIME, "speak", QUESTION, "--lang", "zh", "-o", spoken]
    subprocess.run(command, check=True, timeout=200, capture_output=True)
    with wave.open(str(spoken)) as file:
        rate, sound = file.getframerate(), file.readframes(file.getnframes())
    assert np.frombuffer(sound, "<i2").any()
    padded = spoken.with_name("padded.wav")
    with wave.open(str(padded), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(rate) + sound + bytes(20 * rate))
    return padded


@pytest.fixture
def speaking(playwright: Playwright, recording: Path, kiosk_server: Server) -> Iterator[Page]:
    """The page in a browser whose microphone hears the recording."""
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=[
            *CHROMIUM_FLAGS,
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={recording}%noloop",
        ],
    )
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    open_kiosk(page, kiosk_server.address, muted=False)
    yield page
    browser.close()


def ask_aloud(page: Page, text: str) -> None:
    """Type a question, and wait for the reply's first sound, which lasts until it is stopped."""
    page.evaluate("window.sounds.endless = true")
    page.fill("#text", text)
    page.press("#text", "Enter")
    until(page, "window.sounds.started > 0")


def test_a_spoken_question_is_written_down_answered_and_spoken(speaking: Page) -> None:
    hold(speaking)
    expect(speaking.locator("#mic-label")).to_have_text("松开发送")
    heard_bytes(speaking, 5 * SECOND)
    speaking.mouse.move(600, 300)
    speaking.mouse.up()
    expect(speaking.locator(".customer .bubble").last).to_contain_text("外套", timeout=PATIENCE_MS)
    until(speaking, "window.sounds.started > 0")
    assert "退" in answer(speaking)
    expect(speaking.locator("#mic-label")).to_have_text("按住说话")


def test_holding_while_it_speaks_silences_it_at_once(kiosk: Kiosk) -> None:
    page = kiosk(muted=False)
    ask_aloud(page, "电热水壶不加热怎么办？")
    hold(page)
    until(page, "window.sounds.stopped > 0")
    started = page.evaluate("window.sounds.started")
    heard_bytes(page, SECOND // 2)
    assert page.evaluate("window.sounds.started") == started
    page.keyboard.press("Escape")
    page.mouse.up()


def test_asking_while_it_speaks_keeps_what_was_said_and_answers_the_new_question(
    kiosk: Kiosk,
) -> None:
    page = kiosk(muted=False)
    ask_aloud(page, "电热水壶不加热怎么办？")
    first = page.locator(".assistant .bubble").first
    before = first.inner_text()
    page.click("#mute")
    assert ask(page, "怎么开发票？")
    assert first.inner_text() == before
    assert page.evaluate("window.sounds.stopped") > 0


def test_the_stop_button_ends_speech(kiosk: Kiosk) -> None:
    page = kiosk(muted=False)
    ask_aloud(page, "怎么开发票？")
    expect(page.locator("#send")).to_have_attribute("aria-label", "停止")
    page.click("#send")
    until(page, "window.sounds.stopped > 0")
    expect(page.locator("#send")).to_have_attribute("aria-label", "发送")
    expect(page.locator(".turn")).to_have_count(1)


def test_a_muted_page_asks_for_no_speech(kiosk: Kiosk) -> None:
    page = kiosk()
    ask(page, "怎么开发票？")
    assert sent(page, "ask")[-1]["speak"] is False
    assert page.evaluate("window.sounds.started") == 0


@pytest.mark.parametrize("key", [" ", "Enter"])
def test_the_talk_button_can_be_held_by_keyboard(kiosk: Kiosk, key: str) -> None:
    page = kiosk()
    page.focus("#mic")
    page.keyboard.down(key)
    heard_bytes(page, SECOND // 2)
    page.keyboard.up(key)
    answer(page)
    assert len(sent(page, "listen")) == len(sent(page, "listened")) == 1
    expect(page.locator(".turn")).to_have_count(1)


def test_a_quick_tap_explains_the_button_and_asks_nothing(kiosk: Kiosk) -> None:
    page = kiosk()
    page.click("#mic")
    expect(page.locator("#status")).to_have_text("请按住按钮再说话。")
    expect(page.locator(".turn")).to_have_count(0)
    assert sent(page, "cancel")
    assert not sent(page, "listened")


def test_silence_is_answered_politely(kiosk: Kiosk) -> None:
    """The page's fake microphone beeps now and then; nobody speaks."""
    page = kiosk()
    hold(page)
    heard_bytes(page, SECOND // 2)
    page.mouse.up()
    said = answer(page)
    assert said
    expect(page.locator(".bubble.problem")).to_have_count(0)
    assert (
        page.evaluate("document.querySelectorAll('.customer .bubble:not([hidden]):empty').length")
        == 0
    )


def test_pressing_twice_records_once(kiosk: Kiosk) -> None:
    page = kiosk()
    hold(page)
    heard_bytes(page, SECOND // 4)
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    page.focus("#mic")
    page.keyboard.press(" ")
    assert len(sent(page, "listen")) == 1
    page.mouse.up()
    answer(page)
    expect(page.locator(".turn")).to_have_count(1)


def test_a_refused_microphone_is_told_and_typing_still_works(kiosk: Kiosk) -> None:
    page = kiosk(microphone=False)
    hold(page)
    expect(page.locator("#status")).to_have_text("这里无法使用麦克风，请打字。")
    page.mouse.up()
    expect(page.locator("#mic-label")).to_have_text("按住说话")
    expect(page.locator(".turn")).to_have_count(0)
    assert "不" in ask(page, "面包可以退吗？")


def test_a_missing_microphone_is_told(kiosk: Kiosk) -> None:
    page = kiosk()
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia = async () => {
          throw new DOMException("", "NotFoundError");
        }; }"""
    )
    hold(page)
    expect(page.locator("#status")).to_have_text("这里无法使用麦克风，请打字。")
    page.mouse.up()
    expect(page.locator(".turn")).to_have_count(0)
