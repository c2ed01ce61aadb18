"""How good, small and fast a GGUF model is, against a reference on the same text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from converters.children import run_module
from converters.errors import DatasetError
from converters.evaluate.nlu import dataset_name
from converters.gguf import read_header
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.card import Bar, QualityCard

_MAX_TEXT_BYTES: Final = 16 * 2**20
_MEASURE: Final = "converters.evaluate.llama_measure"


def evaluate_llm(
    model: Path,
    text: Path,
    *,
    reference: Path | None = None,
    bars: Mapping[str, Bar],
    max_tokens: int = 4096,
    threads: int = 2,
    progress: Report = silent,
) -> QualityCard:
    """Measure ``model`` on the first ``max_tokens`` tokens of ``text``, in windows of 256.

    Speed, memory and perplexity come from a process that runs the model alone; divergence from the
    reference from one that runs both.

    Raises:
        ModelFileError: a model is no sound GGUF file.
        DatasetError: the text is missing, empty, too long or not UTF-8.
        ConversionError: llama.cpp failed, or the two models have different vocabularies.
    """
    header = read_header(model)
    if reference is not None:
        read_header(reference)
    _check_text(text)
    size = model.stat().st_size
    job = {
        "model": str(model.resolve()),
        "reference": None,
        "text": str(text.resolve()),
        "max_tokens": max_tokens,
        "threads": threads,
    }
    found: dict[str, float] = json.loads(
        run_module(_MEASURE, [json.dumps(job)], step="measuring speed", progress=progress)
    )
    if reference is not None:
        job["reference"] = str(reference.resolve())
        found |= json.loads(
            run_module(_MEASURE, [json.dumps(job)], step="comparing", progress=progress)
        )
    found |= {"size_mb": size / 1e6, "bits_per_weight": size * 8 / header.weights}
    return QualityCard(sha256_of(model), dataset_name(text), found, dict(bars))


def _check_text(text: Path) -> None:
    try:
        with text.open("rb") as file:
            content = file.read(_MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"The text cannot be read: {error.strerror}.", file=text) from error
    if len(content) > _MAX_TEXT_BYTES:
        raise DatasetError(f"The text is longer than {_MAX_TEXT_BYTES // 2**20} MiB.", file=text)
    try:
        empty = not content.decode().strip()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError("The text is not UTF-8.", file=text, line=line) from error
    if empty:
        raise DatasetError("The text is empty.", file=text)
