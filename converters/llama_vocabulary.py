"""How llama.cpp splits text by the vocabulary of a GGUF file, held against another tokenizer.

Runs in child processes only: llama.cpp aborts on some damaged files.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import llama_cpp

SAMPLES: Final = (
    "Can I return the kettle (model K-2040) within 14 days? I've paid 1,299.00 EUR, haven't I?",
    "退货政策：食品一经售出，概不退换。订单号 20261124-0093，共计￥88.50元。",
    "¿Cuándo abre la tienda de la calle Ñuñoa? ¡Mañana a las 10:30!",
    "Où est ma commande n° 4711 ? L’écran s’est cassé, c’est dommage…",
    "Öffnungszeiten: Montag–Samstag, 9:00–20:00 Uhr.  Zwei  Leerzeichen.\n\n\tTab und\r\nZeilen.",
    "返品はできますか？アイスは１００円です。カード払いＯＫ！",
    "영업시간이 어떻게 되나요? 포인트 3500점 있어요.",
    "Где мой заказ №12345? Доставка стоит 299 рублей.",
    "هل يمكنني إرجاع المنتج خلال ١٤ يومًا؟",
    "क्या मैं इसे 7 दिनों में वापस कर सकता हूँ?",
    "สินค้าชิ้นนี้ลดราคาไหมคะ 1 แถม 1",
    "🛒🙂 <b>100%</b> @shop #sale_2026 a_b__c == != >= ... !!! ??? ''\"\" `x`",
    "3 33 333 3333 33333 333333 3.3 3..3 3...3  leading   and trailing   ",
)


def start_quietly() -> None:
    """llama.cpp's backend without its log."""
    llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()


def differences(made: Path, tokenizer: Any) -> Iterator[str]:
    """The samples that llama.cpp and the tokenizer split differently."""
    with Vocabulary(made) as vocabulary:
        for text in SAMPLES:
            if vocabulary.tokens(text) != tokenizer.encode(text, add_special_tokens=False):
                yield text


class Vocabulary:
    """The vocabulary of a GGUF file as llama.cpp reads it."""

    def __init__(self, path: Path) -> None:
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)

    def __enter__(self) -> Vocabulary:
        return self

    def __exit__(self, *error: object) -> None:
        if self._model:
            llama_cpp.llama_model_free(self._model)

    @property
    def template(self) -> str:
        found = self._model and llama_cpp.llama_model_chat_template(self._model, None)
        return found.decode() if found else ""

    def tokens(self, text: str) -> list[int]:
        if not self._model:
            # A rule that this llama.cpp does not have.
            return []
        data = text.encode()
        buffer = (llama_cpp.llama_token * (len(data) + 8))()
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        count = llama_cpp.llama_tokenize(vocab, data, len(data), buffer, len(buffer), False, False)
        return list(buffer[: max(0, count)])


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    """llama.cpp's own log says nothing that the result does not."""
