"""The student encoder: what of the frozen one it kept, how fast it is, what its heads know.

``EDGE_BENCH_DATA`` names a folder with the public sets; each that is missing is said so.
``EDGE_BENCH_STUDENT`` names the folder of a base to measure, by default this device's encoder;
``EDGE_BENCH_BUNDLES`` folders of bundles made by ``edge-convert train-nlu`` (separated like
``PATH``), each measured on the public set, or the shop's test utterances, whose intents it has.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from bench import encoder_data
from bench.encoder_data import Labelled, Retrieval
from bench.encoder_speed import measured, twelve_tokens
from bench.keywords import LANGUAGES, KeywordRules
from bench.quality import DATA, lines
from bench.report import report
from converters.evaluate.metrics import expected_calibration_error
from edge_runtime.bundles import ModelStore, bundle_files, shipped_folder
from edge_runtime.config import Settings, load_settings
from edge_runtime.knowledge.fusion import KeySet
from edge_runtime.modelfiles import PIECES, WORDS
from edge_runtime.nlu import Encoder, TextKind, Vectors, load_task
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.heads import regressors
from edge_runtime.nlu.student import STUDENT_BASE
from edge_runtime.nlu.tokenizer import Tokenizer, piece_index
from edge_runtime.packs import load_pack
from edge_runtime.rooms import Rooms
from edge_runtime.trained import opened_bundle
from edge_runtime.turn import GENERAL_INTENTS, OUT_OF_SCOPE
from edge_runtime.wiring import Engines

Encode = Callable[[Sequence[str], TextKind], Vectors]
Row = Mapping[str, Any]

FROZEN = "multilingual-e5-small-q4"
ZERO_SHOT = ("zh", "es", "de", "ja")
HOME_CODES = {"zh": "zh-CN"}
PUBLIC = {"CLINC150": encoder_data.clinc150, "BANKING77": encoder_data.banking77}
_BATCH = 64


def main() -> None:
    root = Path(os.environ.get("EDGE_BENCH_DATA", ""))
    settings = load_settings(profile="standard")
    base = _base(settings)
    bundles = [Path(p) for p in os.environ.get("EDGE_BENCH_BUNDLES", "").split(os.pathsep) if p]
    encoder = Encoder(base, 1)
    encoders: dict[str, Encode] = {"frozen": _frozen(settings), "student": encoder.encode}
    report("encoder_retrieval", "zh questions → standard question", [*_retrieval(encoders, root)])
    report(
        "encoder_zero_shot",
        "Intents learnt in en, asked in others",
        [*_zero_shot(encoders, root)],
    )
    encoder.close()
    report(
        "encoder_speed", "12 tokens, one core, a fresh process", [*_speed(settings, base, bundles)]
    )
    public = [*_public(settings, base, bundles, root)]
    if public:
        report("encoder_intents", "Bundles on public test sets", public)
    report(
        "encoder_retail",
        "Retail utterances: keyword rules → student",
        [*_retail(settings, base, bundles)],
    )


# ---- what there is to measure ----


def _base(settings: Settings) -> Mapping[str, Path]:
    named = os.environ.get("EDGE_BENCH_STUDENT")
    if named:
        return {path.name: path for path in Path(named).iterdir()}
    return Engines(settings, load_pack(settings.pack_dir)).encoder_files


def _frozen(settings: Settings) -> Encode:
    """The whole encoder with its whole vocabulary, computed in float32."""
    import torch

    from converters.encoder.body import Embedding, Trunk, Words

    torch.set_num_threads(1)
    source = ModelStore(settings.models_dir).files(FROZEN)["e5-small-q4.bin"]
    file = E5File(source)
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / PIECES
        np.save(index, piece_index(file.vocabulary))
        tokenizer = Tokenizer(file, index)
    words, trunk, upper = (
        Words(file),
        Trunk(file, file.shape.layers),
        Embedding(file, file.shape.layers),
    )

    def encode(texts: Sequence[str], kind: TextKind) -> Vectors:
        ids = [tokenizer.encode(f"{kind}: {text}", 128) for text in texts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        out = np.zeros((len(ids), file.shape.hidden), np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            with torch.inference_mode():
                embeddings, mask = words.batch([ids[row] for row in rows])
                out[rows] = upper(trunk(embeddings, mask), mask).numpy()
        return out

    return encode


# ---- what of the frozen encoder is still there ----


def _retrieval(encoders: Mapping[str, Encode], root: Path) -> Iterator[Row]:
    data = encoder_data.retrieval_zh(root)
    for name, encode in encoders.items():
        found, centred = _ranks(encode, data) if data else (None, None)
        yield {
            "encoder": name,
            "queries": len(found) if found is not None else "not at hand",
            "R@1": _share(found < 1) if found is not None else "",
            "R@5": _share(found < 5) if found is not None else "",
            "MRR": round(float((1 / (found + 1)).mean()), 4) if found is not None else "",
            "R@1 as on a device": _share(centred < 1) if centred is not None else "",
        }


def _ranks(encode: Encode, data: Retrieval) -> tuple[np.ndarray, np.ndarray]:
    """For each query how many wrong questions stand before the first right one: by the plain
    product of vectors, and as the device's knowledge compares them."""
    queries, corpus = encode(data.queries, "query"), encode(data.corpus, "query")
    keys = KeySet(corpus, np.arange(len(corpus)))
    centred = np.stack([keys.best(query, len(corpus)) for query in queries])
    return _before(queries @ corpus.T, data), _before(centred, data)


def _before(scores: np.ndarray, data: Retrieval) -> np.ndarray:
    ranks = [
        int((row > max(row[index] for index in gold)).sum())
        for row, gold in zip(scores, data.gold, strict=True)
    ]
    return np.array(ranks)


def _zero_shot(encoders: Mapping[str, Encode], root: Path) -> Iterator[Row]:
    for name, taught, asked in (
        ("xSID", encoder_data.xsid(root, "en", "valid"), _xsid_tests(root)),
        ("HA home", encoder_data.home(root, "en"), _home_tests(root)),
    ):
        if taught is None:
            yield {"set": name, "encoder": "", **dict.fromkeys(ZERO_SHOT, "not at hand")}
            continue
        for encoder, encode in encoders.items():
            judge = _learnt(encode, taught)
            known = set(taught.intents)
            row = {
                language: _share(judge(test.only(known).texts) == test.only(known).intents)
                if test
                else "not at hand"
                for language, test in asked.items()
            }
            yield {"set": name, "encoder": encoder, **row}


def _xsid_tests(root: Path) -> dict[str, Labelled | None]:
    return {language: encoder_data.xsid(root, language, "test") for language in ZERO_SHOT}


def _home_tests(root: Path) -> dict[str, Labelled | None]:
    return {
        language: encoder_data.home(root, HOME_CODES.get(language, language))
        for language in ZERO_SHOT
    }


def _learnt(encode: Encode, taught: Labelled) -> Callable[[Sequence[str]], Any]:
    """Logistic regression on the vectors, as the device trains it."""
    vectors = encode(taught.texts, "query")
    mean = vectors.mean(axis=0)
    model: Any = LogisticRegression(C=1.0, max_iter=300)
    model.fit(regressors(vectors, mean), taught.intents)
    return lambda texts: model.predict(regressors(encode(texts, "query"), mean))


# ---- speed and size ----


def _speed(settings: Settings, base: Mapping[str, Path], bundles: Sequence[Path]) -> Iterator[Row]:
    if WORDS not in base:
        yield {"what": "this device's encoder is no student", "p50 ms": "", "p95 ms": ""}
        return
    pack = load_pack(settings.pack_dir)
    examples = [t for i in pack.intents.values() for texts in i.examples.values() for t in texts]
    texts = twelve_tokens(base, examples)
    task = shipped_folder(f"{STUDENT_BASE}-{pack.name}")
    wanted = [*([task] if task else []), *bundles]
    heads = {"vector alone": {}, **{folder.name: bundle_files(folder) for folder in wanted}}
    for name, files in heads.items():
        size = sum(path.stat().st_size for path in [*base.values(), *files.values()])
        yield {
            "what": name,
            **measured(base, files, texts),
            "disk MB": round(size / 1e6, 1),
            "texts": len(texts),
        }


# ---- what the heads know ----


def _public(
    settings: Settings, base: Mapping[str, Path], bundles: Sequence[Path], root: Path
) -> Iterator[Row]:
    for folder in bundles:
        intents = set(load_task(bundle_files(folder)).labels.intents) - GENERAL_INTENTS
        for name, read in PUBLIC.items():
            data = read(root)
            if data is None:
                yield {"bundle": folder.name, "set": f"{name} not at hand"}
            elif set(data.intents) - GENERAL_INTENTS == intents:
                yield {"bundle": folder.name, "set": name, **_scored(settings, base, folder, data)}


def _scored(
    settings: Settings, base: Mapping[str, Path], folder: Path, data: Labelled
) -> dict[str, Any]:
    with opened_bundle(folder, settings, base) as understander:
        found = understander.understand_many(data.texts, language="en")
    pairs = list(zip(found, data.intents, strict=True))
    inside = [(one, intent) for one, intent in pairs if intent != OUT_OF_SCOPE]
    outside = [one for one, intent in pairs if intent == OUT_OF_SCOPE]
    right = [one.intent == intent for one, intent in pairs]
    return {
        "in scope": len(inside),
        "best intent right": _share([u.candidates[0][0] == i for u, i in inside]),
        "kept and right": _share([u.intent == i for u, i in inside]),
        "out of scope": len(outside),
        "turned away": _share([u.intent == OUT_OF_SCOPE for u in outside]),
        "ECE": round(
            expected_calibration_error([one.intent_confidence for one in found], right), 4
        ),
    }


def _retail(settings: Settings, base: Mapping[str, Path], bundles: Sequence[Path]) -> Iterator[Row]:
    tests = lines(DATA / "retail_test.jsonl")
    rules = KeywordRules.load()
    student = dict(zip(map(id, tests), _understood(settings, base, bundles, tests), strict=True))
    for language in ("all", *LANGUAGES):
        chosen = [test for test in tests if language in {"all", test["language"]}]
        by_rules = _share([rules.intent(t["text"], t["language"]) == t["intent"] for t in chosen])
        by_student = _share([student[id(test)] == test["intent"] for test in chosen])
        yield {
            "language": language,
            "utterances": len(chosen),
            "rules right": by_rules,
            "student right": by_student,
            "errors cut by": round(1 - (1 - by_student) / (1 - by_rules), 4),
        }


def _understood(
    settings: Settings, base: Mapping[str, Path], bundles: Sequence[Path], tests: Sequence[Row]
) -> list[str]:
    """Intents by the bundle that has the pack's, else by what this device uses."""
    texts = [test["text"] for test in tests]
    pack = load_pack(settings.pack_dir)
    for folder in bundles:
        intents = set(load_task(bundle_files(folder)).labels.intents) - GENERAL_INTENTS
        if intents == pack.intents.keys():
            with opened_bundle(folder, settings, base) as understander:
                return [found.intent for found in understander.understand_many(texts)]
    rooms = Rooms(settings, journal=False)
    try:
        return [found.intent for found in rooms.understander.understand_many(texts)]
    finally:
        rooms.close()


def _share(hits: Any) -> float:
    return round(float(np.mean(hits)), 4) if len(hits) else 0.0
