"""Scripts decide where they can, statistics and the shop's own languages where they cannot."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.nlu import detect_language

_SHOP = ("zh", "en", "es")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我的订单在哪里", "zh"),
        ("iPhone多少钱", "zh"),
        ("返品したいのですが", "ja"),
        ("주문이 어디에 있나요", "ko"),
        ("กี่โมงเปิด", "th"),
        ("где мой заказ", "ru"),
        ("де моє замовлення", "uk"),
        ("πού είναι η παραγγελία μου", "el"),
        ("أين طلبي", "ar"),
        ("سفارش من کجاست؟", "fa"),
        ("मेरा ऑर्डर कहाँ है", "hi"),
        ("איפה ההזמנה שלי", "he"),
        ("আমার অর্ডার কোথায়", "bn"),
        ("எனது ஆர்டர் எங்கே", "ta"),
        ("where is my order", "en"),
        ("hola", "es"),
        ("où est ma commande", "fr"),
        ("wo ist meine Bestellung", "de"),
        ("dov'è il mio ordine, vorrei saperlo", "it"),
        ("onde está o meu pedido, por favor", "pt"),
        ("waar is mijn bestelling gebleven", "nl"),
        ("siparişim nerede acaba", "tr"),
        ("đơn hàng của tôi ở đâu", "vi"),
        ("gdzie jest moje zamówienie", "pl"),
        ("var är min beställning någonstans", "sv"),
        ("missä tilaukseni on nyt", "fi"),
        ("hol van a rendelésem", "hu"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert detect_language(text, _SHOP)[0] == language


@pytest.mark.parametrize(("text", "hint"), [("123", "es"), ("👍", "en"), ("12:30", "fr")])
def test_text_without_letters_stays_in_the_language_of_the_conversation(
    text: str, hint: str
) -> None:
    assert detect_language(text, _SHOP, hint)[0] == hint


def test_a_shop_language_wins_where_one_word_says_little() -> None:
    assert detect_language("no", ("es",))[0] == "es"
    assert detect_language("no", ("en",))[0] == "en"


@given(st.text(max_size=300))
def test_any_text_gets_a_language_and_a_probability(text: str) -> None:
    language, confidence = detect_language(text, _SHOP)
    assert language.isalpha()
    assert 0.0 <= confidence <= 1.0


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert detect_language("je voudrais retourner cet article", ())[0] == "fr"
