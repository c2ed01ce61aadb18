"""Showing the kiosk a picture: chosen, dropped, pasted, shot; and what is no picture."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from kiosk_kit import Kiosk, answer, sent, text_picture, until
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.xdist_group("kiosk")]

RECEIPT = (
    "云杉百货",
    "小票号：SN20261120088",
    "日期：2026-11-20",
    "电热水壶 K2    129.00",
    "合计：129.00",
)

HAND_OVER = """({kind, name, type, data}) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, {type}));
  const talk = document.getElementById("talk");
  if (kind === "drop") {
    talk.dispatchEvent(new DragEvent("dragover", {dataTransfer, bubbles: true, cancelable: true}));
    window.sawDropZone = !document.getElementById("drop").hidden;
    talk.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
  } else {
    talk.dispatchEvent(new ClipboardEvent("paste", {clipboardData: dataTransfer, bubbles: true}));
  }
}"""


def hand_over(page: Page, kind: str, name: str, type_: str, content: bytes) -> None:
    data = base64.b64encode(content).decode()
    page.evaluate(HAND_OVER, {"kind": kind, "name": name, "type": type_, "data": data})


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    return text_picture(tmp_path / "receipt.png", RECEIPT)


def test_a_receipt_chosen_as_a_file_becomes_an_invoice_request(kiosk: Kiosk, receipt: Path) -> None:
    page = kiosk()
    page.fill("#text", "我要开发票")
    page.set_input_files("#file", receipt)
    assert "抬头" in answer(page)
    expect(page.locator(".customer img")).to_be_visible()
    expect(page.locator(".customer .bubble")).to_have_text("我要开发票")
    expect(page.locator("#text")).to_have_value("")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_can_be_dropped_or_pasted(kiosk: Kiosk, receipt: Path, kind: str) -> None:
    page = kiosk()
    hand_over(page, kind, "receipt.png", "image/png", receipt.read_bytes())
    assert answer(page)
    expect(page.locator(".customer img")).to_be_visible()
    assert sent(page, "ask")[0]["image"]
    expect(page.locator("#drop")).to_be_hidden()
    assert page.evaluate("window.sawDropZone") is (True if kind == "drop" else None)


@pytest.mark.parametrize("kind", ["drop", "paste"])
@pytest.mark.parametrize(
    ("name", "type_", "content"),
    [
        ("notes.txt", "text/plain", b"not a picture"),
        ("fake.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("empty.jpg", "image/jpeg", b""),
    ],
)
def test_what_is_no_picture_is_refused_on_the_page(
    kiosk: Kiosk, kind: str, name: str, type_: str, content: bytes
) -> None:
    page = kiosk()
    hand_over(page, kind, name, type_, content)
    expect(page.locator("#status")).to_have_text("这张图片我看不了，请换一张。")
    expect(page.locator(".turn")).to_have_count(0)
    assert not sent(page, "ask")


def test_a_huge_picture_is_made_smaller_before_it_is_sent(kiosk: Kiosk, tmp_path: Path) -> None:
    page = kiosk()
    large = tmp_path / "large.png"
    Image.new("RGB", (6000, 3000), "white").save(large)
    page.set_input_files("#file", large)
    expect(page.locator(".customer img")).to_be_visible()
    until(page, "document.querySelector('.customer img').naturalWidth === 2000")
    answer(page)


def test_a_picture_too_large_for_memory_is_refused(kiosk: Kiosk, tmp_path: Path) -> None:
    page = kiosk()
    bomb = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(bomb)
    page.set_input_files("#file", bomb)
    expect(page.locator("#status")).to_have_text("这张图片我看不了，请换一张。", timeout=30_000)
    assert not sent(page, "ask")


def test_the_camera_takes_a_picture_and_is_switched_off_again(kiosk: Kiosk) -> None:
    page = kiosk((800, 480))
    page.click("#picture")
    expect(page.locator("#camera")).to_be_visible()
    for button in ("#shoot", "#choose", "#close-camera"):
        box = page.locator(button).bounding_box()
        assert box
        assert box["height"] >= 48
        assert box["y"] + box["height"] <= 480
    page.click("#shoot")
    expect(page.locator("#camera")).to_be_hidden()
    expect(page.locator(".customer img")).to_be_visible()
    assert page.evaluate("document.getElementById('viewfinder').srcObject") is None
    answer(page)
    page.click("#picture")
    expect(page.locator("#camera")).to_be_visible()
    page.keyboard.press("Escape")
    until(page, "document.getElementById('viewfinder').srcObject === null")


def test_without_a_camera_a_file_is_chosen(kiosk: Kiosk) -> None:
    page = kiosk(microphone=False)
    with page.expect_file_chooser():
        page.click("#picture")
