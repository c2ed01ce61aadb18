"""A decoder in ONNX form with its key-value cache, as Hugging Face's Optimum exports them.

Inputs are ``input_ids``, ``attention_mask``, ``position_ids`` and ``past_key_values.<i>.key`` and
``.value``; outputs ``logits`` and ``present.<i>.key`` and ``.value``. What was computed for a text
is a value that is never written to again, so keeping a prefix is keeping a reference to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]

from edge_runtime.errors import EngineError

Logits = npt.NDArray[np.float32]

_FIRST_LOGIT: Final = "first_logit"
_ERRORS_ONLY: Final = 3
_MAX_LAYERS: Final = 256
_MAX_STATE_WIDTH: Final = 2**20
_MAX_VOCABULARY: Final = 2**20
_VERIFY: Final = "Run 'edge-runtime models verify' and 'edge-runtime doctor'."


@dataclass(frozen=True, slots=True, eq=False)
class KeyValues:
    """Keys and values of ``length`` tokens, each of shape (1, heads, length, head width)."""

    length: int
    values: tuple[Any, ...]


class OnnxDecoder:
    """``model.onnx`` (and the file with its weights beside it, if any) on the CPU.

    Args:
        model: the ONNX file; weights beside it are memory-mapped.
        threads: CPU threads.

    Raises:
        EngineError: it cannot be loaded, or is no decoder with a key-value cache.
    """

    def __init__(self, model: Path, threads: int) -> None:
        self._name = model.parent.name
        self._session = _session(model, threads)
        inputs = {value.name: value for value in self._session.get_inputs()}
        outputs = {value.name: value for value in self._session.get_outputs()}
        self._past = _layers(inputs, "past_key_values.")
        self._present = tuple(name.replace("past_key_values.", "present.") for name in self._past)
        sound = {"input_ids", "attention_mask"} <= inputs.keys() and self._past
        if not sound or not {"logits", *self._present} <= outputs.keys():
            raise EngineError(
                f"{model} is no decoder with a key-value cache.",
                hint="Export it with 'edge-convert quantize-onnx'.",
            )
        self._positions = "position_ids" in inputs
        overridable = {value.name for value in self._session.get_overridable_initializers()}
        self._chooses = _FIRST_LOGIT in overridable or _FIRST_LOGIT in inputs
        self.vocabulary = _vocabulary(outputs["logits"].shape, model)
        self.empty = KeyValues(0, tuple(_empty_state(inputs[name], model) for name in self._past))

    def read(
        self, tokens: Sequence[int], past: KeyValues, *, all_rows: bool = False
    ) -> tuple[Logits, KeyValues]:
        """Logits after ``tokens``, which continue ``past``, and the cache with them in it.

        Shape (len(tokens), vocabulary), or (1, vocabulary) for the last token only.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        length = past.length + len(tokens)
        feeds = dict(zip(self._past, past.values, strict=True))
        feeds["input_ids"] = _row(tokens)
        feeds["attention_mask"] = _row([1] * length)
        if self._positions:
            feeds["position_ids"] = _row(range(past.length, length))
        if self._chooses:
            first = 0 if all_rows else len(tokens) - 1
            feeds[_FIRST_LOGIT] = ort.OrtValue.ortvalue_from_numpy(np.array([first], np.int64))
        try:
            logits, *present = self._session.run_with_ort_values(["logits", *self._present], feeds)
        except Exception as error:  # ONNX Runtime has no error class of its own to catch
            raise EngineError(f"{self._name} could not evaluate the text: {error}") from error
        rows: Logits = logits.numpy()[0]
        return rows if all_rows else rows[-1:], KeyValues(length, tuple(present))


def _session(model: Path, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no error class of its own to catch
        raise EngineError(
            f"The language model {model} cannot be loaded: {error}", hint=_VERIFY
        ) from error


def _layers(inputs: dict[str, Any], prefix: str) -> tuple[str, ...]:
    def names() -> Iterator[str]:
        for layer in range(_MAX_LAYERS):
            pair = [f"{prefix}{layer}.{part}" for part in ("key", "value")]
            if not inputs.keys() >= set(pair):
                return
            yield from pair

    return tuple(names())


def _vocabulary(shape: Sequence[Any], model: Path) -> int:
    size = shape[-1]
    if not isinstance(size, int) or not 0 < size <= _MAX_VOCABULARY:
        raise EngineError(f"{model} does not say how many tokens it knows.", hint=_VERIFY)
    return size


def _empty_state(value: Any, model: Path) -> Any:
    _, heads, _, width = value.shape if len(value.shape) == 4 else (0, 0, 0, 0)
    fixed = isinstance(heads, int) and isinstance(width, int)
    if not fixed or not 0 < heads * width <= _MAX_STATE_WIDTH or value.type != "tensor(float)":
        raise EngineError(f"{model} has a key-value cache of an unknown shape.", hint=_VERIFY)
    return ort.OrtValue.ortvalue_from_numpy(np.zeros((1, heads, 0, width), np.float32))


def _row(values: Sequence[int]) -> Any:
    return ort.OrtValue.ortvalue_from_numpy(np.array([values], np.int64))
