"""The heavy half of exporting and quantising; a :mod:`step <converters.child>` given ``JOB``.

A process of its own, because torch and ONNX keep gigabytes that only its end gives back. ``JOB`` is
a JSON object with ``do`` (``export`` or ``quantize``), ``threads`` and what that job needs. One
JSON object goes to standard output, ``[done/all]`` lines and a reason to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final


def _export(job: Mapping[str, Any]) -> dict[str, Any]:
    from converters.onnx.exporting import export

    return export(job)


def _quantize(job: Mapping[str, Any]) -> dict[str, Any]:
    from converters.onnx.quantizing import quantize

    return quantize(job)


_JOBS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "export": _export,
    "quantize": _quantize,
}


def main(arguments: list[str]) -> int:
    job = json.loads(arguments[0])
    os.environ["OMP_NUM_THREADS"] = str(job["threads"])
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # The libraries' own remarks would hide the one sentence that says what went wrong.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        result = _JOBS[job["do"]](job)
    except Exception as error:  # a child's every failure is one sentence for its parent
        reason = " ".join(str(error).split()) or type(error).__name__
        sys.stderr.write(f"\n{reason[:600]}\n")
        return 1
    sys.stdout.write(json.dumps(result))
    return 0
