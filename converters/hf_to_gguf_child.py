"""Runs llama.cpp's converter; ``python -m converters.hf_to_gguf_child JOB``.

``JOB`` is a JSON object: ``wheel``, ``folder``, ``target``, ``type``. The converter knows a
byte-pair tokenizer's splitting rule by a hash over a sample's tokens, which any change to the
vocabulary breaks (tokens added, languages trimmed, one trained for a test). Here every rule that
llama.cpp has is tried instead, until one gives the same tokens as the folder's own tokenizer.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import llama_cpp

_SAMPLES: Final = (
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
# First what the runtime's models use, then what else is common.
_RULES: Final = (
    *("qwen2", "smollm", "gpt-2", "llama-bpe", "qwen35", "default", "gpt-4o", "tekken"),
    *("deepseek-llm", "deepseek-v3", "falcon", "starcoder", "refact", "command-r", "olmo", "dbrx"),
)


class Refused(Exception):
    """Why the job cannot be done, one sentence."""


def main(arguments: list[str]) -> int:
    job: dict[str, str] = json.loads(arguments[0])
    sys.path.insert(0, job["wheel"])
    llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    try:
        _convert(Path(job["folder"]), Path(job["target"]), job["type"])
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _convert(folder: Path, target: Path, kind: str) -> None:
    import gguf
    import tqdm  # type: ignore[import-untyped]
    from conversion import (  # type: ignore[import-not-found]
        ModelBase,
        ModelType,
        get_model_architecture,
        get_model_class,
    )
    from transformers import AutoTokenizer

    tqdm.tqdm = _Counted
    architecture = get_model_architecture(ModelBase.load_hparams(folder, False), ModelType.TEXT)
    try:
        known = get_model_class(architecture)
    except NotImplementedError:
        raise Refused(f"The converter does not know models of the kind {architecture}.") from None
    types = {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16}
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)  # type: ignore[no-untyped-call]
    _Rules(tokenizer, lambda path: known(folder, types["F32"], path)).patch(known)
    known(folder, types[kind], target, model_name=folder.name).write()
    _check(target, tokenizer)


class _Rules:
    """Replaces the converter's lookup of a tokenizer's splitting rule by a trial."""

    def __init__(self, tokenizer: Any, writer: Any) -> None:
        self._tokenizer = tokenizer
        self._writer = writer
        self._found = ""

    def patch(self, known: Any) -> None:
        known.get_vocab_base_pre = lambda model, tokenizer: self._found or self._search()
        if "ByteLevel(" in str(self._tokenizer.backend_tokenizer.pre_tokenizer):
            # Some such tokenizers also claim SentencePiece's byte fallback, which the converter
            # would believe first.
            known.set_vocab = lambda model: model._set_vocab_gpt2()

    def _search(self) -> str:
        for rule in _RULES:
            self._found = rule
            with tempfile.TemporaryDirectory() as work:
                trial = Path(work) / "vocabulary.gguf"
                self._writer(trial).write_vocab()
                if not list(_differences(trial, self._tokenizer)):
                    return rule
        raise Refused("llama.cpp has no rule that splits text as this model's tokenizer does.")


def _check(made: Path, tokenizer: Any) -> None:
    different = next(_differences(made, tokenizer), None)
    if different is not None:
        raise Refused(f"llama.cpp splits '{different}' into other tokens than the model's own.")
    if tokenizer.chat_template:
        with _Vocabulary(made) as vocabulary:
            if vocabulary.template != tokenizer.chat_template:
                raise Refused("The chat template did not survive.")


def _differences(made: Path, tokenizer: Any) -> Iterator[str]:
    """The samples that llama.cpp and the tokenizer split differently."""
    with _Vocabulary(made) as vocabulary:
        for text in _SAMPLES:
            if vocabulary.tokens(text) != tokenizer.encode(text, add_special_tokens=False):
                yield text


class _Vocabulary:
    """The vocabulary of a GGUF file as llama.cpp reads it."""

    def __init__(self, path: Path) -> None:
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)

    def __enter__(self) -> _Vocabulary:
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


class _Counted:
    """Stands in for the converter's progress bar: ``[done/all]`` lines on standard error."""

    def __init__(self, *args: Any, total: int = 0, **options: Any) -> None:
        self._total = total
        self._done = 0
        self._told = 0

    def update(self, count: int = 1) -> None:
        self._done += count
        if (self._done - self._told) * 50 >= self._total:
            self._told = self._done
            sys.stderr.write(f"[{self._done}/{self._total}]\n")
            sys.stderr.flush()

    def reset(self, total: int = 0) -> None:
        self._total, self._done, self._told = total, 0, 0

    def close(self) -> None:
        """Nothing is on the screen."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    """llama.cpp's own log says nothing that the result does not."""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
