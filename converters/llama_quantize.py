"""Runs llama.cpp's quantiser; a :mod:`step <converters.child>` given ``JOB``.

A process of its own, because llama.cpp aborts on some inputs. ``JOB`` is a JSON object: ``source``,
``target``, ``ftype``, ``threads``, ``importance`` (a file of :mod:`converters.imatrix`, or null),
``keep`` (pattern of tensor names → ggml type, first match first). llama.cpp's log, which counts the
tensors, goes to standard error.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from converters.child import tell_reason
from converters.imatrix import load_importance

_EMBEDDING = "token_embd.weight"
_HEAD = "output.weight"
_ERROR = 4
"""``GGML_LOG_LEVEL_ERROR``, which llama-cpp-python does not name."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", errors="replace")
    if level == _ERROR:
        # It comes amidst the line of the tensor that could not be written.
        sys.stderr.write("\n")
        tell_reason(line)
    else:
        sys.stderr.write(line)
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    job: dict[str, Any] = json.loads(arguments[0])
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = job["ftype"]
    params.nthread = job["threads"]
    params.allow_requantize = True
    kept = dict(job["keep"])
    # llama.cpp looks at these two before it looks at patterns.
    if _EMBEDDING in kept:
        params.token_embedding_type = kept.pop(_EMBEDDING)
    if _HEAD in kept:
        params.output_tensor_type = kept.pop(_HEAD)
    if kept:
        params.tt_overrides = _overrides(kept)
    if job["importance"]:
        params.imatrix = _importance(Path(job["importance"]))
    source, target = str(job["source"]).encode(), str(job["target"]).encode()
    failed = llama_cpp.llama_model_quantize(source, target, ctypes.byref(params))
    return 1 if failed else 0


def _overrides(kept: Mapping[str, int]) -> Any:
    """A C array that ends with an entry without a pattern."""
    entries: Any = [(pattern.encode(), kind) for pattern, kind in kept.items()]
    array = llama_cpp.llama_model_tensor_override * (len(entries) + 1)
    end: Any = (None, 0)
    return array(*entries, end)


def _importance(path: Path) -> Any:
    """A C array that ends with an entry without a name; it keeps what it points to alive."""
    rows = load_importance(path)
    array = (llama_cpp.llama_model_imatrix_data * (len(rows) + 1))()
    for entry, (name, weights) in zip(array, rows.items(), strict=False):
        values = np.ascontiguousarray(weights, np.float32)
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
        # ctypes does not know that the memory behind the pointer is needed.
        _KEPT_ALIVE.append(values)
    return array


_KEPT_ALIVE: list[Any] = []
