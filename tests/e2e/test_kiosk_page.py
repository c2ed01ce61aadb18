"""The kiosk page in a real Chromium: asking, reading, languages, sizes, and leaving no traces."""

from __future__ import annotations

from pathlib import Path

import pytest
from kiosk_kit import PATIENCE_MS, Kiosk, Problems, answer, ask, sent, serving, until
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.xdist_group("kiosk")]

SCREENS = [(1280, 800), (800, 480), (480, 800), (1920, 1080)]

MISFITS = """() => {
  const controls = [...document.querySelectorAll("button, select, input, a")];
  const shown = controls.filter((n) => n.offsetParent);
  const name = (n) => n.id || n.textContent;
  const small = shown.filter((n) => n.offsetHeight < 48 || n.offsetWidth < 48).map(name);
  const outside = shown.filter((n) => {
    const box = n.getBoundingClientRect();
    return box.left < -1 || box.right > innerWidth + 1;
  }).map(name);
  const bars = [...document.querySelectorAll(".bar > *")].filter((n) => n.offsetParent);
  const boxes = bars.map((n) => [n.id || n.className, n.getBoundingClientRect()]);
  const overlapping = boxes.flatMap(([a, x], i) => boxes.slice(i + 1).filter(([, y]) =>
    x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 1 && y.top < x.bottom - 1
  ).map(([b]) => `${a} and ${b}`));
  const wide = document.documentElement.scrollWidth > innerWidth;
  const tall = document.documentElement.scrollHeight > innerHeight;
  return {small, outside, overlapping, wide, tall};
}"""
FITS = {"small": [], "outside": [], "overlapping": [], "wide": False, "tall": False}


def test_a_typed_question_is_answered_with_its_source(kiosk: Kiosk) -> None:
    page = kiosk()
    said = ask(page, "面包可以退吗？")
    assert "不" in said
    source = page.locator(".sources button").first
    expect(source).to_be_visible()
    assert "#" not in source.inner_text()
    source.click()
    expect(page.locator("#reader")).to_be_visible()
    expect(page.locator("#reader-body")).to_contain_text("食品")
    page.click("#close-reader")
    expect(page.locator("#reader")).to_be_hidden()


def test_a_suggestion_is_a_question_and_its_picture_opens_large(kiosk: Kiosk) -> None:
    page = kiosk()
    page.locator("#quick button", has_text="电热水壶不加热").click()
    assert "底座" in answer(page)
    photo = page.locator(".card.image img").first
    expect(photo).to_be_visible()
    until(page, "document.querySelector('.card.image img').naturalWidth > 0")
    page.locator(".card .photo").first.click()
    expect(page.locator("#reader img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#reader")).to_be_hidden()


def test_a_question_before_the_connection_stands_waits_for_it(kiosk: Kiosk) -> None:
    page = kiosk()
    page.add_init_script(
        """new MutationObserver((changes, watch) => {
          if (!document.body?.dataset.ready) return;
          watch.disconnect();
          document.querySelector("#quick button").click();
        }).observe(document, { subtree: true, attributes: true })"""
    )
    page.reload()
    expect(page.locator(".turn")).to_have_count(1)
    assert "连接" not in answer(page)
    assert len(sent(page, "ask")) == 1


def test_an_order_is_remembered_and_shown_as_a_card(kiosk: Kiosk) -> None:
    page = kiosk()
    ask(page, "我的订单什么时候到？")
    assert "R20261118001" in ask(page, "R20261118001")
    expect(page.locator(".card.order")).to_contain_text("R20261118001")


def test_a_person_can_be_called(kiosk: Kiosk) -> None:
    page = kiosk()
    ask(page, "转人工")
    expect(page.locator(".turn").last.locator(".card.handover")).to_contain_text("人工服务")


def test_text_from_outside_is_never_markup(kiosk: Kiosk) -> None:
    page = kiosk()
    page.evaluate("() => { window.alert = () => { window.attacked = true } }")
    attack = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    ask(page, attack)
    expect(page.locator(".customer .bubble").last).to_have_text(attack)
    assert page.locator("#turns img, #turns script").count() == 0
    assert page.evaluate("window.attacked") is None


def test_a_question_while_the_answer_runs_replaces_it(kiosk: Kiosk) -> None:
    page = kiosk()
    page.evaluate(
        """() => { for (const text of ["怎么开发票？", "你们几点关门？"]) {
          document.getElementById("text").value = text;
          document.getElementById("form").requestSubmit();
        } }"""
    )
    said = answer(page)
    assert ":" in said or "点" in said
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator("[aria-busy]")).to_have_count(0)
    first, second = sent(page, "ask")
    assert first["turn"] != second["turn"]
    assert len(sent(page, "cancel")) == 1


def test_the_language_can_be_changed_in_the_middle(kiosk: Kiosk) -> None:
    page = kiosk()
    ask(page, "你们几点关门？")
    page.select_option("#language", "en")
    expect(page.locator("#mic-label")).to_have_text("Hold to talk")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert "return" in ask(page, "Can I return bread?").lower()
    assert sent(page, "ask")[-1]["language"] == "en"
    page.select_option("#language", "ar")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")


@pytest.mark.parametrize("size", SCREENS)
@pytest.mark.parametrize("language", ["zh", "en", "es", "de", "ru", "ar"])
def test_everything_fits_and_can_be_touched(
    kiosk: Kiosk, size: tuple[int, int], language: str
) -> None:
    page = kiosk(size)
    page.select_option("#language", language)
    assert page.evaluate(MISFITS) == FITS
    page.locator("#quick button").last.click()
    answer(page)
    assert page.evaluate(MISFITS) == FITS


def test_large_type_still_fits(kiosk: Kiosk) -> None:
    page = kiosk((800, 480))
    page.evaluate("document.documentElement.style.fontSize = '24px'")
    assert page.evaluate(MISFITS) == FITS


def test_a_long_answer_starts_at_its_beginning_and_scrolls(kiosk: Kiosk) -> None:
    page = kiosk((480, 320))
    ask(page, "电热水壶不加热怎么办？")
    expect(page.locator(".customer .bubble").last).to_be_in_viewport()
    page.click("#more")
    until(page, "document.getElementById('talk').scrollTop > 0")
    page.evaluate("document.getElementById('talk').scrollTo(0, 1e6)")
    expect(page.locator("#more")).to_be_hidden()


def test_starting_over_leaves_nothing_behind(kiosk: Kiosk) -> None:
    page = kiosk()
    ask(page, "R20261118001")
    page.fill("#text", "half a question")
    page.click("#again")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator("#text")).to_have_value("")
    ask(page, "你们几点关门？")
    before, after = sent(page, "ask")
    assert before["session"] != after["session"]


def test_an_abandoned_conversation_is_cleared_after_a_warning(kiosk: Kiosk) -> None:
    page = kiosk(clock=True)
    page.select_option("#language", "en")
    ask(page, "Can I return bread?")
    page.clock.fast_forward(101_000)
    expect(page.locator("#status")).to_contain_text("will be cleared")
    page.mouse.click(5, 200)
    expect(page.locator("#status")).to_be_hidden()
    page.clock.fast_forward(101_000)
    expect(page.locator(".turn")).to_have_count(1)
    page.clock.fast_forward(21_000)
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("html")).to_have_attribute("lang", "zh")


def test_two_pages_hold_two_conversations(kiosk: Kiosk) -> None:
    one, two = kiosk(), kiosk()
    ask(one, "R20261118001")
    ask(two, "怎么开发票？")
    assert sent(one, "ask")[0]["session"] != sent(two, "ask")[0]["session"]
    expect(one.locator(".turn")).to_have_count(1)
    expect(two.locator(".turn")).to_have_count(1)


def test_the_keyboard_alone_is_enough(kiosk: Kiosk) -> None:
    page = kiosk()
    page.locator("#text").focus()
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.closest('#quick') !== null"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    answer(page)
    expect(page.locator(".turn")).to_have_count(1)


def test_the_page_comes_back_after_the_device_restarts(
    kiosk: Kiosk, tmp_path: Path, problems: Problems
) -> None:
    with serving(tmp_path / "data", profile="lite") as server:
        page = kiosk(address=server.address)
        ask(page, "你们几点关门？")
        server.stop()
        expect(page.locator("#status")).to_contain_text("断开")
        page.fill("#text", "还在吗")
        page.press("#text", "Enter")
        expect(page.locator(".bubble.problem")).to_be_visible()
        server.start()
        expect(page.locator("#status")).to_be_hidden(timeout=PATIENCE_MS)
        assert ask(page, "你们几点关门？")
        expect(page.locator(".turn").last.locator(".problem")).to_have_count(0)
    problems.clear()
    # Chromium tells of some of the refused connections seconds later.
    problems.expected = ("ERR_CONNECTION_REFUSED",)


def test_a_problem_is_told_in_the_customers_language(kiosk: Kiosk) -> None:
    page = kiosk()
    page.evaluate("document.getElementById('text').removeAttribute('maxlength')")
    ask(page, "很" * 3000)
    expect(page.locator(".bubble.problem")).to_have_text("这段话太长了，请说得简短一些。")
    assert "不" in ask(page, "面包可以退吗？")
