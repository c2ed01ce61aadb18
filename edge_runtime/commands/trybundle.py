"""Tries a bundle: ``python -m edge_runtime.commands.trybundle FOLDER PROFILE``.

The updater starts it as a child, so that a model that crashes the process is a finding. It loads
every model of the bundle with the engine that will run it, answers the bundle's own test turns
(``turns.jsonl``, one ``{"text": …, "intent": …}`` a line), and holds its quality cards against
their own bars and this device's (``[updates]`` in edge.toml). Prints one JSON object: ``problem``
(empty when all is well), ``turns``, ``peak_mb``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundles import bundle_files
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES
from edge_runtime.bundles.running import Parts
from edge_runtime.commands.console import print_json
from edge_runtime.config import BarSetting, Settings, load_settings, load_update_settings
from edge_runtime.errors import EdgeRuntimeError, ModelCorruptError
from edge_runtime.memory import peak_mb

TURNS = "turns.jsonl"
_MAX_TURNS = 1000
_RIGHT_SHARE = 0.9
"""Test turns are examples of what works; a few may sit on a border that rounding moves."""


def main(folder: str, profile: str) -> int:
    problem, turns = "", 0
    try:
        turns = _try(Path(folder), load_settings(profile=profile))
    except EdgeRuntimeError as error:
        problem = error.message
    print_json({"problem": problem, "turns": turns, "peak_mb": int(peak_mb())})
    return 0


def _try(folder: Path, settings: Settings) -> int:
    files = bundle_files(folder)
    parts = Parts.of(files)
    _check_cards(files, load_update_settings().bars)
    _load_models(files, parts, settings)
    turns = list(_test_turns(files))
    if parts.heads:
        _answer(parts, settings, turns)
    return len(turns)


def _check_cards(files: Mapping[str, Path], wanted: Mapping[str, BarSetting]) -> None:
    measured: dict[str, float] = {}
    for name, path in files.items():
        if name.startswith("cards/"):
            card = QualityCard.from_json(path.read_bytes()[: MAX_DOCUMENT_BYTES + 1])
            own = {metric: _bar(bar) for metric, bar in wanted.items() if metric in card.metrics}
            for whose, bars in (("its", card.bars), ("this device's", own)):
                if misses := replace(card, bars=bars).misses():
                    missed = "; ".join(map(str, misses))
                    raise ModelCorruptError(f"{name} misses {whose} bars: {missed}.")
            measured.update(card.metrics)
    if missing := sorted(wanted.keys() - measured.keys()):
        raise ModelCorruptError(f"No card of it measures {missing[0]}, which this device asks for.")


def _bar(wanted: BarSetting) -> Bar:
    if wanted.at_least is not None:
        return Bar(wanted.at_least)
    return Bar(wanted.at_most or 0.0, "at_most")


def _load_models(files: Mapping[str, Path], parts: Parts, settings: Settings) -> None:
    if parts.llm:
        from edge_runtime.generation.registry import load_language_model

        model = load_language_model(parts.llm, threads=settings.threads)
        try:
            model.smoke()
        finally:
            model.close()
    # Those are loaded by the engine that answers the test turns: twice would count twice.
    read = {*parts.heads.values(), *parts.encoder.values()} if parts.heads else set()
    for name, path in files.items():
        if path.suffix == ".onnx" and path not in read:
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


def _answer(parts: Parts, settings: Settings, turns: list[tuple[str, str]]) -> None:
    from edge_runtime.nlu import released_task
    from edge_runtime.packs import load_pack
    from edge_runtime.trained import opened_heads

    pack = load_pack(parts.packs.get(settings.pack) or settings.pack_dir)
    task = released_task(parts.heads, pack)
    with opened_heads(task, pack, settings, parts.encoder) as reader:
        right = sum(reader.understand(text).intent == intent for text, intent in turns)
    if turns and right < _RIGHT_SHARE * len(turns):
        raise ModelCorruptError(f"{right} of its {len(turns)} test turns are answered rightly.")


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
