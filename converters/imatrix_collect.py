"""Watches llama.cpp multiply; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``model``, ``text``, ``target``, ``max_tokens``, ``threads``. For every
product of a weight matrix with activations, the squares of the activations are summed by column:
what llama.cpp's own ``llama-imatrix`` computes.
"""

from __future__ import annotations

import ctypes
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from converters.child import Refused, answer, tell_progress
from converters.imatrix import KIND

_WINDOW: Final = 512
_WEIGHT: Final = re.compile(r"(?:blk\.\d+\.[a-z_0-9]+|output|token_embd)\.weight")
_F32: Final = 0


class _Tensor(ctypes.Structure):
    """``struct ggml_tensor`` up to its name; :func:`_check_layout` holds it against the library."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
    )


class Watcher:
    """Sums of squares by weight tensor, fed by llama.cpp's callback after each operation."""

    def __init__(self, ggml: ctypes.CDLL) -> None:
        self.error = ""
        self._ggml = _typed(ggml)
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def means(self) -> dict[str, npt.NDArray[np.float32]]:
        """Mean squares by tensor name."""
        return {
            name: (total / self._counts[name]).astype(np.float32)
            for name, total in self._sums.items()
        }

    def seen(self, address: int, ask: bool) -> bool:
        """llama.cpp asks whether this operation matters, and later shows its result."""
        tensor = _Tensor.from_address(address)
        wanted = self._ggml.ggml_op_name(tensor.op) == b"MUL_MAT" and bool(
            _WEIGHT.fullmatch(_Tensor.from_address(tensor.src[0]).name.decode("latin-1"))
        )
        if ask or not wanted:
            return wanted
        try:
            self._check_layout(address, tensor)
            self._add(tensor)
        except Refused as error:
            self.error = str(error)
            return False
        return True

    def _add(self, tensor: _Tensor) -> None:
        name = _Tensor.from_address(tensor.src[0]).name.decode()
        inputs = _Tensor.from_address(tensor.src[1])
        columns, rows = inputs.ne[0], inputs.ne[1] * inputs.ne[2] * inputs.ne[3]
        dense = inputs.nb[0] == 4 and inputs.nb[1] == 4 * columns
        if inputs.type != _F32 or not dense or not inputs.data:
            raise Refused(f"The inputs of {name} are not kept as plain numbers.")
        pointer = ctypes.cast(inputs.data, ctypes.POINTER(ctypes.c_float))
        values = np.ctypeslib.as_array(pointer, shape=(rows, columns)).astype(np.float64)
        self._sums[name] = self._sums.get(name, np.zeros(columns)) + (values**2).sum(axis=0)
        self._counts[name] += rows

    def _check_layout(self, address: int, tensor: _Tensor) -> None:
        """ggml has functions for a few fields: where they agree, the fields between lie right."""
        named = self._ggml.ggml_get_name(address) == address + _Tensor.name.offset
        placed = self._ggml.ggml_get_data(address) == tensor.data
        counted = self._ggml.ggml_nelements(address) == np.prod(list(tensor.ne))
        if not (named and placed and counted):
            raise Refused("This version of llama.cpp lays its tensors out in an unknown way.")


def _typed(ggml: ctypes.CDLL) -> Any:
    ggml.ggml_op_name.argtypes, ggml.ggml_op_name.restype = [ctypes.c_int], ctypes.c_char_p
    for name, result in (
        ("ggml_get_name", ctypes.c_void_p),
        ("ggml_get_data", ctypes.c_void_p),
        ("ggml_nelements", ctypes.c_int64),
    ):
        function = getattr(ggml, name)
        function.argtypes, function.restype = [ctypes.c_void_p], result
    return ggml


def collect(job: dict[str, Any]) -> dict[str, int]:
    watcher = Watcher(_library())

    @llama_cpp.ggml_backend_sched_eval_callback  # type: ignore[untyped-decorator]
    def seen(address: int, ask: bool, user_data: ctypes.c_void_p) -> bool:
        return watcher.seen(address, ask)

    model, context = _opened(job["model"], job["threads"], seen)
    tokens = _tokens(model, Path(job["text"]).read_bytes())[: job["max_tokens"]]
    memory = llama_cpp.llama_get_memory(context)
    batch = llama_cpp.llama_batch_init(_WINDOW, 0, 1)
    for start in range(0, len(tokens), _WINDOW):
        tell_progress(start // _WINDOW, -(-len(tokens) // _WINDOW))
        llama_cpp.llama_memory_clear(memory, True)
        _fill(batch, tokens[start : start + _WINDOW])
        if llama_cpp.llama_decode(context, batch) != 0 or watcher.error:
            raise Refused(watcher.error or "llama.cpp could not evaluate the text.")
    means = watcher.means()
    save_file(means, job["target"], metadata={"kind": KIND})
    return {"tensors": len(means), "tokens": len(tokens)}


def _library() -> ctypes.CDLL:
    """The ggml that llama.cpp itself has loaded: its symbols are found through libllama."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    found = sorted(folder.glob("*ggml-base*"))
    if not found:
        raise Refused(f"There is no ggml library in {folder}.")
    return ctypes.CDLL(str(found[0]))


def _opened(path: str, threads: int, seen: Any) -> tuple[Any, Any]:
    model_params = llama_cpp.llama_model_default_params()
    # What is watched has to lie in this process's own memory.
    model_params.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        raise Refused(f"llama.cpp cannot load {path}.")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = _WINDOW
    params.n_threads = params.n_threads_batch = threads
    params.op_offload = params.offload_kqv = False
    params.cb_eval = seen
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise Refused(f"There is not enough memory to run {path}.")
    return model, context


def _tokens(model: Any, text: bytes) -> list[int]:
    room = len(text) + 8
    buffer = (llama_cpp.llama_token * room)()
    vocab = llama_cpp.llama_model_get_vocab(model)
    # Domain text may be conversations: their markup is what the model will see, too.
    count = llama_cpp.llama_tokenize(vocab, text, len(text), buffer, room, True, True)
    if count < 1:
        raise Refused("The text cannot be split into tokens.")
    return list(buffer[:count])


def _fill(batch: Any, tokens: list[int]) -> None:
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index] = token
        batch.pos[index] = index
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = 0
        # Every row, so that the head is seen at work as often as the other tensors.
        batch.logits[index] = True


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    """llama.cpp's own log says nothing that the result does not."""


def main(arguments: list[str]) -> int:
    llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return answer(collect, arguments)
