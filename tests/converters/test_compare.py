"""Formats side by side, the verdict on each, and which tensors cost most."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from converter_kit import ModelFiles, gguf, names
from gguf_kit import task_file, text_file, tiny_pair
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from converters.child import Refused
from converters.cli import app
from converters.errors import ConversionError, ModelFileError, OptionError
from converters.evaluate.compare import compare, judged
from converters.evaluate.engines import check_model, engine_of, model_digest, stored_bits
from converters.evaluate.grid import grid_share
from converters.evaluate.llm import Conditions, run_measure
from converters.evaluate.scoring import kept_rows, log_softmax, reference_rows, windows_of
from converters.progress import silent
from converters.quantize import quantize
from converters.recipe.measuring import evaluate_all
from converters.recipe.schema import Evaluate

SHARES = st.floats(0.01, 1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_pair(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def small(pair: tuple[Path, Path]) -> dict[str, Path]:
    folder = pair[1].parent
    return {
        kind: quantize(pair[1], folder / f"tiny.{kind.lower()}.gguf", kind).path
        for kind in ("Q8_0", "Q4_0")
    }


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return text_file(tmp_path / "shop.txt")


def test_every_format_in_one_table(
    pair: tuple[Path, Path], small: dict[str, Path], text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table.json"
    run = CliRunner().invoke(
        app,
        [
            *("evaluate", "compare", str(pair[0]), *map(str, small.values())),
            *("--reference", str(pair[1]), "--text", str(text), "--threads", "1", "--json"),
            *("--task", str(task_file(tmp_path / "task.jsonl")), "--replies", "2"),
            *("--out", str(out)),
        ],
    )
    told = json.loads(run.stdout)
    assert [row["name"] for row in told["formats"]] == [
        pair[1].name,
        pair[0].name,
        small["Q8_0"].name,
        small["Q4_0"].name,
    ]
    kl = {row["name"]: row["metrics"].get("mean_kl") for row in told["formats"]}
    assert kl[pair[1].name] is None
    assert kl[pair[0].name] < kl[small["Q8_0"].name] < kl[small["Q4_0"].name]
    # Random weights answer nothing faithfully: there is no scale to judge formats on.
    assert run.exit_code == 8
    verdicts = [row["verdict"] for row in told["formats"]]
    assert [verdict["passed"] for verdict in verdicts] == [None, None, False, False]
    assert "no scale" in verdicts[2]["why"]
    page = out.with_suffix(".md").read_text("utf-8")
    assert "| mean KL |" in page
    assert out.with_suffix(".html").read_text("utf-8").count("<svg") == 3
    assert json.loads(out.read_text()) == told


def test_without_a_task_nothing_is_refused(
    pair: tuple[Path, Path], small: dict[str, Path], text: Path
) -> None:
    conditions = Conditions(text, 64, 1)
    found = compare([small["Q8_0"], pair[1]], conditions, reference=pair[1])
    assert [item.name for item in found.formats] == [pair[1].name, small["Q8_0"].name]
    assert not found.refused
    assert found.formats[1].verdict.why == "not judged: no task was given"


def scores(faithful: float, accuracy: float) -> dict[str, float]:
    return {"answer_faithfulness": faithful, "reply_accuracy": accuracy, "replies": 200.0}


@given(SHARES, SHARES, st.sampled_from([4, 8]))
def test_a_format_passes_as_long_as_it_loses_no_more_than_it_may(
    whole: float, part: float, bits: int
) -> None:
    allowed = {8: 0.01, 4: 0.03}[bits]
    verdict = judged(scores(1.0, whole * part), scores(1.0, whole), bits)
    assert verdict.losses["reply_accuracy"] == pytest.approx(1 - part)
    if abs(1 - part - allowed) > 1e-6:
        assert verdict.passed is (1 - part < allowed)


def test_one_reply_may_always_be_lost_and_two_may_not() -> None:
    reference = {"answer_faithfulness": 0.8, "reply_accuracy": 0.9, "replies": 20.0}
    one = {**reference, "answer_faithfulness": 0.75}
    two = {**reference, "answer_faithfulness": 0.70}
    assert judged(one, reference, 8).passed is True
    assert judged(two, reference, 8).passed is False
    assert "lost of" in judged(two, reference, 8).why


def test_what_is_not_quantised_is_not_judged() -> None:
    assert judged(scores(0.1, 0.1), scores(1, 1), 16).passed is None


def test_models_are_told_apart_by_name(pair: tuple[Path, Path], text: Path) -> None:
    conditions = Conditions(text, 64, 1)
    with pytest.raises(OptionError, match="by name"):
        compare([pair[1]], conditions, reference=pair[1])
    with pytest.raises(ModelFileError, match="is no model"):
        compare([pair[1].parent / "missing.gguf"], conditions, reference=pair[1])


@pytest.mark.models
def test_a_model_of_another_vocabulary_is_refused(
    pair: tuple[Path, Path], text: Path, model_files: ModelFiles
) -> None:
    other = model_files("smollm2-135m-q4_1")["model.gguf"]
    found = compare([other], Conditions(text, 64, 1), reference=pair[1])
    assert [item.name for item in found.formats] == [pair[1].name]
    assert "different vocabularies" in found.failed[0].why
    assert "could not be measured" in found.page()
    assert found.figures() == []


def test_a_failing_model_costs_the_others_nothing_and_is_all_that_is_measured_again(
    pair: tuple[Path, Path],
    small: dict[str, Path],
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = tmp_path / "broken.gguf"
    # A sound file that no engine knows.
    broken.write_bytes(gguf())
    out, measured = tmp_path / "t" / "table.json", []

    def noted(model: Path, *args: Any, **kwargs: Any) -> dict[str, float]:
        measured.append(model.name)
        return run_measure(model, *args, **kwargs)

    monkeypatch.setattr("converters.evaluate.shelf.run_measure", noted)

    def run(*more: str) -> Result:
        measured.clear()
        return CliRunner().invoke(
            app,
            [
                *("evaluate", "compare", str(broken), str(small["Q8_0"])),
                *("--reference", str(pair[1]), "--text", str(text), "--threads", "1"),
                *("--max-tokens", "128", "--out", str(out), *more),
            ],
        )

    first = run("--json")
    told = json.loads(first.stdout)
    assert first.exit_code == ConversionError.exit_code
    assert [row["name"] for row in told["formats"]] == [pair[1].name, small["Q8_0"].name]
    assert [row["name"] for row in told["failed"]] == ["broken.gguf"]
    assert "It failed while measuring broken.gguf: " in told["failed"][0]["why"]
    assert json.loads(out.read_text()) == told
    again = run()
    assert measured == ["broken.gguf"]
    assert again.exit_code == ConversionError.exit_code
    assert "- broken.gguf could not be measured: It failed while" in again.stdout
    broken.write_bytes(small["Q4_0"].read_bytes())
    whole = run("--json")
    assert measured == ["broken.gguf"]
    assert whole.exit_code == 0, whole.output
    found = json.loads(whole.stdout)
    assert [row["name"] for row in found["formats"]] == [
        pair[1].name,
        "broken.gguf",
        small["Q8_0"].name,
    ]
    assert (found["failed"], found["formats"][2]) == ([], told["formats"][1])
    assert names(out.parent) == ["table.html", "table.json", "table.md"]


def test_what_was_measured_otherwise_is_not_taken_for_this(
    pair: tuple[Path, Path], small: dict[str, Path], text: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf())
    kept = tmp_path / "kept"
    compared = partial(compare, [broken, small["Q8_0"]], reference=pair[1], kept=kept)
    first = compared(Conditions(text, 64, 1))
    longer = compared(Conditions(text, 128, 1))
    assert [item.metrics["tokens"] for item in first.formats] == [63.0, 63.0]
    assert [item.metrics["tokens"] for item in longer.formats] == [127.0, 127.0]


def test_a_stopped_comparison_keeps_what_it_measured(
    pair: tuple[Path, Path],
    small: dict[str, Path],
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conditions, kept = Conditions(text, 64, 1), tmp_path / "kept"
    models = [small["Q8_0"], small["Q4_0"]]

    def until(stop: str) -> Callable[..., dict[str, float]]:
        def measure(model: Path, *args: Any, **kwargs: Any) -> dict[str, float]:
            if model.name == stop:
                raise KeyboardInterrupt
            return run_measure(model, *args, **kwargs)

        return measure

    monkeypatch.setattr("converters.evaluate.shelf.run_measure", until(models[1].name))
    with pytest.raises(KeyboardInterrupt):
        compare(models, conditions, reference=pair[1], kept=kept)
    monkeypatch.setattr("converters.evaluate.shelf.run_measure", until(models[0].name))
    # What comes now was not measured yet: the first of the two would stop it.
    found = compare(models, conditions, reference=pair[1], kept=kept)
    assert [item.name for item in found.formats[1:]] == [model.name for model in models]
    assert not kept.exists()


def test_a_recipes_failing_format_is_named_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, good, bad = (tmp_path / f"{name}.gguf" for name in ("whole", "good", "bad"))
    for count, model in enumerate((whole, good, bad), 1):
        model.write_bytes(gguf(tensors=count))
    measured: list[str] = []
    failing = {bad.name}

    def measure(model: Path, *args: Any, **kwargs: Any) -> dict[str, float]:
        measured.append(model.name)
        if model.name in failing:
            raise ConversionError(f"It failed while measuring {model.name}: no memory")
        return {"mean_kl": 0.01, "top1_agreement": 0.9, "perplexity": 3.0}

    monkeypatch.setattr("converters.evaluate.shelf.run_measure", measure)
    text, out = text_file(tmp_path / "shop.txt"), tmp_path / "out"

    def evaluate() -> None:
        formats = {"Q8_0": good, "Q4_0": bad}
        options = Evaluate()
        evaluate_all(formats, whole, text, None, options, out, threads=1, progress=silent)

    with pytest.raises(ConversionError, match=r"bad\.gguf: It failed .*: no memory"):
        evaluate()
    assert measured == [whole.name, good.name, bad.name]
    failing.clear()
    evaluate()
    assert measured[3:] == [bad.name]
    assert names(out) == ["cards", "comparison.html", "comparison.json", "comparison.md"]
    assert names(out / "cards") == ["Q4_0.card.json", "Q8_0.card.json"]


def test_bits_are_told_from_the_file(pair: tuple[Path, Path], small: dict[str, Path]) -> None:
    assert stored_bits(pair[0]) == 16
    assert [stored_bits(path) for path in (pair[1], small["Q8_0"], small["Q4_0"])] == [16, 8, 4]


def test_folders_have_an_identity(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert engine_of(tmp_path) == "torch"
    before = model_digest(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert engine_of(tmp_path) == "onnx"
    assert model_digest(tmp_path) != before
    (tmp_path / "weights.bin").write_bytes(b"\x80\x04]q\x00.")
    with pytest.raises(ModelFileError, match="pickle"):
        check_model(tmp_path)


def test_weights_recovered_from_four_bits_are_recognised(
    pair: tuple[Path, Path], small: dict[str, Path], tmp_path: Path
) -> None:
    assert grid_share(pair[1]) == 0
    recovered = quantize(small["Q4_0"], tmp_path / "recovered.gguf", "F16").path
    # The head is kept at six bits.
    assert grid_share(recovered) > 0.85


def test_kinds_and_layers_are_swept(
    pair: tuple[Path, Path], small: dict[str, Path], text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "sweep.json"
    arguments = ["--text", str(text), "--max-tokens", "128", "--threads", "1", "--json"]
    run = CliRunner().invoke(
        app, ["evaluate", "sensitivity", str(pair[1]), *arguments, "--out", str(out)]
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    kinds = {row["group"]: row for row in told["kinds"]}
    assert {"token_embd", "attn_q", "attn_v", "ffn_down"} <= kinds.keys()
    assert 0.98 < sum(row["share"] for row in kinds.values()) <= 1
    assert all(row["mean_kl"] > 0 for row in kinds.values())
    order = [row["mean_kl"] for row in told["kinds"]]
    assert order == sorted(order, reverse=True)
    assert [row["tensors"] for row in told["bands"]] == [7] * len(told["bands"])
    assert names(out.parent) == ["sweep.html", "sweep.json", "sweep.md"]
    refused = CliRunner().invoke(app, ["evaluate", "sensitivity", str(small["Q4_0"]), *arguments])
    assert refused.exit_code == 2


def test_divergence_over_kept_classes_is_a_tight_lower_bound() -> None:
    rng = np.random.default_rng(0)
    wanted = log_softmax(rng.normal(scale=3, size=(8, 6000)).astype(np.float32))
    found = log_softmax((wanted + rng.normal(scale=0.2, size=wanted.shape)).astype(np.float32))
    exact = float((np.exp(wanted.astype(np.float64)) * (wanted - found)).sum())
    told, agreed = reference_rows([0] * 8, [kept_rows(wanted)]).divergence(0, found)
    assert 0.97 * exact < told <= exact + 1e-6
    assert agreed == int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum())
    same, _ = reference_rows([0] * 8, [kept_rows(wanted)]).divergence(0, wanted)
    assert abs(same) < 1e-9


def test_a_text_of_one_token_measures_nothing() -> None:
    with pytest.raises(Refused, match="too short"):
        windows_of([5], 100)
    assert [len(window) for window in windows_of(list(range(300)), 257)] == [256]
