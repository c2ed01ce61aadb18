"""Runs llama.cpp's quantiser; ``python -m converters.llama_quantize SOURCE TARGET FTYPE THREADS``.

A process of its own, because llama.cpp aborts on some inputs. Its log, which counts the tensors,
goes to standard error.
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    sys.stderr.write(text.decode("utf-8", errors="replace"))
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    source, target, ftype, threads = arguments
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = int(ftype)
    params.nthread = int(threads)
    params.allow_requantize = True
    failed = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
