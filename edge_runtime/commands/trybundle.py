"""Tries a bundle: ``python -m edge_runtime.commands.trybundle FOLDER PROFILE``.

The updater starts it as a child, so that a model that crashes the process is a finding. It loads
every model of the bundle with the engine that will run it, answers the bundle's own test turns
(``turns.jsonl``, one ``{"text": …, "intent": …}`` a line), and holds its quality cards against
their bars. Prints one JSON object: ``problem`` (empty when all is well), ``turns``, ``peak_mb``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_runtime.bundles import bundle_files
from edge_runtime.bundles.card import QualityCard
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES
from edge_runtime.commands.console import print_json
from edge_runtime.config import Settings, load_settings
from edge_runtime.errors import EdgeRuntimeError, ModelCorruptError

TURNS = "turns.jsonl"
_MAX_TURNS = 1000
_LABELS = "labels.json"
_RIGHT_SHARE = 0.9
"""Test turns are examples of what works; a few may sit on a border that rounding moves."""


def main(folder: str, profile: str) -> int:
    problem, turns = "", 0
    try:
        turns = _try(Path(folder), load_settings(profile=profile))
    except EdgeRuntimeError as error:
        problem = error.message
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print_json({"problem": problem, "turns": turns, "peak_mb": peak_mb})
    return 0


def _try(folder: Path, settings: Settings) -> int:
    files = bundle_files(folder)
    _check_cards(files)
    _load_models(files, settings)
    turns = list(_test_turns(files))
    if _LABELS in files:
        _answer(folder, settings, turns)
    return len(turns)


def _check_cards(files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        if name.startswith("cards/"):
            card = QualityCard.from_json(path.read_bytes()[: MAX_DOCUMENT_BYTES + 1])
            if misses := card.misses():
                raise ModelCorruptError(f"{name} misses its bars: {'; '.join(map(str, misses))}.")


def _load_models(files: Mapping[str, Path], settings: Settings) -> None:
    for name, path in files.items():
        if path.suffix == ".gguf":
            from edge_runtime.generation.registry import load_language_model

            model = load_language_model({"model.gguf": path}, threads=settings.threads)
            try:
                model.smoke()
            finally:
                model.close()
        elif path.suffix == ".onnx":
            _load_onnx(name, path)


def _load_onnx(name: str, path: Path) -> None:
    import onnxruntime  # type: ignore[import-untyped]

    try:
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # onnxruntime raises types of its own that share no base but Exception.
    except Exception as error:
        raise ModelCorruptError(f"{name} does not load: {error}.") from error


def _test_turns(files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    if TURNS not in files:
        return
    with files[TURNS].open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                turn = json.loads(line)
                text, intent = str(turn["text"]), str(turn["intent"])
            except (ValueError, KeyError, TypeError, RecursionError):
                raise ModelCorruptError(f"{TURNS}:{number} is no test turn.") from None
            if number > _MAX_TURNS:
                raise ModelCorruptError(f"{TURNS} holds more than {_MAX_TURNS} test turns.")
            yield text, intent


def _answer(folder: Path, settings: Settings, turns: list[tuple[str, str]]) -> None:
    from edge_runtime.trained import opened_bundle

    with (
        tempfile.TemporaryDirectory() as scratch,
        opened_bundle(folder, settings.model_copy(update={"data_dir": Path(scratch)})) as reader,
    ):
        right = sum(reader.understand(text).intent == intent for text, intent in turns)
    if turns and right < _RIGHT_SHARE * len(turns):
        raise ModelCorruptError(f"{right} of its {len(turns)} test turns are answered rightly.")


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
