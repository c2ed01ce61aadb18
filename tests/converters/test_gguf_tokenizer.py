"""The tokenizer of a GGUF file splits text as llama.cpp does, and ends replies as the file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from converters import gguf_tokenizer
from converters.gguf_tokenizer import Unlike, read_tokenizer
from converters.llama_vocabulary import SAMPLES, start_quietly

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
WITHOUT = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
RULES = {
    "gpt-2": [GPT2],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), GPT2],
    "qwen2": [pre_tokenizers.Split(Regex(SPLIT), "isolated"), WITHOUT],
    "llama-bpe": [
        pre_tokenizers.Split(Regex(SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")), "isolated"),
        WITHOUT,
    ],
}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    start_quietly()


def trained(rule: str) -> Any:
    """Many pairs merged, so that where text is cut shows in its tokens."""
    inner = Tokenizer(models.BPE(ignore_merges=rule == "llama-bpe"))
    inner.pre_tokenizer = pre_tokenizers.Sequence(RULES[rule])
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([*SAMPLES] * 3, trainer)
    return inner


def stored(inner: Any, rule: str, path: Path, *, first: bool | None = None) -> Path:
    """A GGUF file of nothing but a vocabulary."""
    import json

    model = json.loads(inner.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(512)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    if first is not None:
        writer.add_add_bos_token(first)
    writer.add_chat_template("{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_the_tokens_it_was_made_with(rule: str, tmp_path: Path) -> None:
    inner = trained(rule)
    found = read_tokenizer(stored(inner, rule, tmp_path / "vocabulary.gguf"))
    for text in (
        *SAMPLES,
        "order 4711 of 2026-11-24,  1,299.00",
        "<|im_start|>user\nI'm<|im_end|>",
    ):
        ids = found(text)["input_ids"]
        assert ids == inner.encode(text, add_special_tokens=False).ids
        assert found.decode(ids) == text


def test_the_marks_are_those_of_the_file(tmp_path: Path) -> None:
    found = read_tokenizer(stored(trained("qwen2"), "qwen2", tmp_path / "vocabulary.gguf"))
    assert (found.bos_token, found.eos_token, found.pad_token) == (
        SPECIAL[1],
        SPECIAL[2],
        SPECIAL[0],
    )
    assert found.chat_template == "{{ messages }}"
    assert found.model_max_length == 512


@pytest.mark.parametrize(("first", "wanted"), [(True, [1]), (False, []), (None, [])])
def test_only_a_file_that_asks_for_a_first_token_gets_one(
    first: bool | None, wanted: list[int], tmp_path: Path
) -> None:
    inner = trained("qwen2")
    found = read_tokenizer(stored(inner, "qwen2", tmp_path / "vocabulary.gguf", first=first))
    assert found("hello")["input_ids"] == wanted + inner.encode("hello").ids
    assert found("hello", add_special_tokens=False)["input_ids"] == inner.encode("hello").ids


def test_what_llama_cpp_splits_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_tokenizer, "_rule", lambda name: RULES["smollm"])
    with pytest.raises(Unlike, match="is cut otherwise"):
        read_tokenizer(stored(trained("gpt-2"), "gpt-2", tmp_path / "vocabulary.gguf"))
