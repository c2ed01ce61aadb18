"""Domain text run through an fp32 ONNX model, to learn what its products are multiplied with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.quantization import CalibrationDataReader  # type: ignore[import-untyped]
from tokenizers import Tokenizer  # type: ignore[import-untyped]

from converters.onnx.folder import MODEL, read_graph, write_graph
from converters.onnx.graph import products

_WINDOW: Final = 128
_WINDOWS: Final = 32


class TextReader(CalibrationDataReader):  # type: ignore[misc]
    """The text as the inputs of the model in ``folder``, in windows of 128 tokens.

    Raises:
        ValueError: the text is shorter than one window.
    """

    def __init__(self, folder: Path, text: Path) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokens = tokenizer.encode(text.read_text("utf-8"), add_special_tokens=False).ids
        count = min(_WINDOWS, len(tokens) // _WINDOW)
        if not count:
            raise ValueError(f"The text has {len(tokens)} tokens; at least {_WINDOW} are needed.")
        # Windows from all over the text: its subjects come one after the other.
        starts = np.linspace(0, len(tokens) - _WINDOW, count).astype(int)
        graph = read_graph(folder / MODEL).graph
        self._inputs = [value for value in graph.inputs if not value.is_initializer()]
        self._left = [tokens[start : start + _WINDOW] for start in starts]

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        if not self._left:
            return None
        tokens = self._left.pop()
        return {str(value.name): _given(value, tokens) for value in self._inputs}


def importance(
    folder: Path, text: Path, scratch: Path, *, threads: int
) -> Mapping[str, npt.NDArray[np.float32]]:
    """The mean square of each input of every product, by the product's name; their mean is 1."""
    model = read_graph(folder / MODEL)
    graph = model.graph
    watched: dict[str, str] = {}
    for name, node in products(graph).items():
        value = node.inputs[0]
        if value is None:
            continue
        if value not in graph.outputs:
            graph.outputs.append(value)
        watched[name] = str(value.name)
    write_graph(model, scratch)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        str(scratch / MODEL), options, providers=["CPUExecutionProvider"]
    )
    names = sorted(set(watched.values()))
    squares: dict[str, Any] = dict.fromkeys(names, 0.0)
    reader = TextReader(folder, text)
    while (feeds := reader.get_next()) is not None:
        for name, values in zip(names, session.run(names, feeds), strict=True):
            squares[name] += (
                np.square(values.astype(np.float64)).reshape(-1, values.shape[-1]).sum(0)
            )
    return {
        name: (squares[value] / squares[value].mean()).astype(np.float32)
        for name, value in watched.items()
    }


def _given(value: ir.Value, tokens: Sequence[int]) -> npt.NDArray[Any]:
    name = str(value.name)
    if name == "input_ids":
        return np.array([tokens], np.int64)
    if name == "attention_mask":
        return np.ones((1, len(tokens)), np.int64)
    if name == "position_ids":
        return np.arange(len(tokens), dtype=np.int64)[None]
    if name == "token_type_ids":
        return np.zeros((1, len(tokens)), np.int64)
    shape = value.shape.dims if value.shape is not None else ()
    # A cache is of shape (1, heads, past tokens, width), and there are none past yet.
    sizes = [size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(shape)]
    return np.zeros(sizes, np.float32)
