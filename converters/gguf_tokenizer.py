"""The tokenizer of a GGUF file as a Hugging Face one that splits text as llama.cpp does.

What transformers itself reads from such a file can have another splitting rule, other marks for
the end of a reply and a first token that the file does not ask for. A model tuned with those would
not know its own prompts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import gguf
from tokenizers import (  # type: ignore[import-untyped]
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from converters.llama_vocabulary import differences

_CONTROL: Final = 3
_USER_DEFINED: Final = 4
_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2: Final = ("gpt-2", "phi-2", "jina-es", "jina-de", "mpt", "olmo", "jais")
_MARKS: Final[Mapping[str, str]] = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


class Unlike(Exception):
    """Why there is no such tokenizer, one sentence."""


def read_tokenizer(file: Path) -> Any:
    """The tokenizer in ``file``.

    Raises:
        Unlike: it would split some text differently from llama.cpp.
    """
    stored = _Stored(file)
    if stored.value("model") == "gpt2" and (rule := _rule(str(stored.value("pre")))) is not None:
        made = _byte_pairs(stored, rule)
    else:
        made = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
            file.parent, gguf_file=file.name, local_files_only=True
        )
    tokens = stored.tokens
    for mark, key in _MARKS.items():
        index = stored.value(key)
        if isinstance(index, int) and 0 <= index < len(tokens):
            setattr(made, mark, tokens[index])
    template = stored.whole("tokenizer.chat_template")
    made.chat_template = template if isinstance(template, str) else None
    different = next(differences(file, made), None)
    if different is not None:
        raise Unlike(
            f"This kind of tokenizer has no other form here: '{different}' is cut otherwise."
        )
    return made


class _Stored:
    """The ``tokenizer.ggml.…`` values of a GGUF file."""

    def __init__(self, file: Path) -> None:
        self._reader: Any = gguf.GGUFReader(file)

    def whole(self, key: str) -> Any:
        field = self._reader.get_field(key)
        return None if field is None else field.contents()

    def value(self, key: str) -> Any:
        return self.whole(f"tokenizer.ggml.{key}")

    @cached_property
    def tokens(self) -> list[str]:
        found: list[str] = self.value("tokens")
        return found


def _rule(name: str) -> list[Any] | None:
    """What cuts text before pairs are merged, by llama.cpp's name for it."""
    if name in _GPT2:
        return [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    if name == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return [digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    if name in ("qwen2", "llama-bpe"):
        pattern = _WORDS % ("" if name == "qwen2" else "{1,3}")
        return [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    return None


def _byte_pairs(stored: _Stored, rule: list[Any]) -> Any:
    tokens, types = stored.tokens, stored.value("token_type") or []
    merges = [tuple(merge.split(" ", 1)) for merge in stored.value("merges") or []]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    # Llama 3 takes a word that is a token whole, whatever its pairs are.
    whole = stored.value("pre") == "llama-bpe"
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=whole))
    inner.pre_tokenizer = pre_tokenizers.Sequence(rule)
    inner.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types, strict=False):
        if kind in (_CONTROL, _USER_DEFINED):
            special = kind == _CONTROL
            inner.add_tokens([AddedToken(token, normalized=False, special=special)])
    first = stored.value("bos_token_id")
    if stored.value("add_bos_token") and isinstance(first, int):
        mark = tokens[first]
        inner.post_processor = processors.TemplateProcessing(
            single=[mark, "$A"], pair=[mark, "$A", "$B"], special_tokens=[(mark, first)]
        )
    else:
        inner.post_processor = processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        model_max_length=_length(stored),
        clean_up_tokenization_spaces=False,
    )


def _length(stored: _Stored) -> int:
    kind = stored.whole("general.architecture")
    return int(stored.whole(f"{kind}.context_length") or 2**20)
