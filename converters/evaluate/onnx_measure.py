"""ONNX Runtime as a :class:`converters.evaluate.scoring.Scorer`: a folder with ``model.onnx``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer  # type: ignore[import-untyped]

from converters.child import Refused
from converters.evaluate.scoring import Logits
from edge_runtime.errors import EngineError
from edge_runtime.generation.onnx_decoder import OnnxDecoder


class OnnxScorer:
    """A decoder run as the runtime runs it, its key-value cache in 32-bit floats."""

    def __init__(self, path: Path, threads: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more specific
            raise Refused(f"{path / 'tokenizer.json'} cannot be read: {error}.") from error
        try:
            self._decoder = OnnxDecoder(path / "model.onnx", threads)
        except EngineError as error:
            raise Refused(str(error)) from error
        self.vocabulary = self._decoder.vocabulary
        self._past = self._decoder.empty

    def tokens(self, text: str) -> list[int]:
        return self._tokens(text, plain=True)

    def markup(self, text: str) -> list[int]:
        return self._tokens(text, plain=False)

    def _tokens(self, text: str, *, plain: bool) -> list[int]:
        # Without a start token, as the other engines of the same table read it.
        self._tokenizer.encode_special_tokens = plain
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def forget(self) -> None:
        self._past = self._decoder.empty

    def read(self, tokens: Sequence[int], start: int, *, all_rows: bool) -> Logits:
        try:
            logits, self._past = self._decoder.read(tokens, self._past, all_rows=all_rows)
        except EngineError as error:
            raise Refused(str(error)) from error
        return logits
