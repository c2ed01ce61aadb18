"""Runs llama.cpp's converter; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``wheel``, ``folder``, ``target``, ``type``. The converter knows a
byte-pair tokenizer's splitting rule by a hash over a sample's tokens, which any change to the
vocabulary breaks (tokens added, languages trimmed, one trained for a test). Here every rule that
llama.cpp has is tried instead, until one gives the same tokens as the folder's own tokenizer.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from converters.child import Refused, quick_imports, tell_progress
from converters.llama_vocabulary import Vocabulary, differences, start_quietly

# First what the runtime's models use, then what else is common.
_RULES: Final = (
    *("qwen2", "smollm", "gpt-2", "llama-bpe", "qwen35", "default", "gpt-4o", "tekken"),
    *("deepseek-llm", "deepseek-v3", "falcon", "starcoder", "refact", "command-r", "olmo", "dbrx"),
)


def main(arguments: list[str]) -> int:
    job: dict[str, str] = json.loads(arguments[0])
    sys.path.insert(0, job["wheel"])
    start_quietly()
    try:
        _convert(Path(job["folder"]), Path(job["target"]), job["type"])
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _convert(folder: Path, target: Path, kind: str) -> None:
    with quick_imports():
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
                if not list(differences(trial, self._tokenizer)):
                    return rule
        raise Refused("llama.cpp has no rule that splits text as this model's tokenizer does.")


def _check(made: Path, tokenizer: Any) -> None:
    different = next(differences(made, tokenizer), None)
    if different is not None:
        raise Refused(f"llama.cpp splits '{different}' into other tokens than the model's own.")
    if tokenizer.chat_template:
        with Vocabulary(made) as vocabulary:
            if vocabulary.template != tokenizer.chat_template:
                raise Refused("The chat template did not survive.")


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
            tell_progress(self._done, self._total)

    def reset(self, total: int = 0) -> None:
        self._total, self._done, self._told = total, 0, 0

    def close(self) -> None:
        """Nothing is on the screen."""
