"""What each stage of a recipe does with its inputs: it calls the function behind the command.

Each function here takes the stage's table and gives the function that a :class:`Stage` runs.
Torch and its kin are imported by child processes and inside these functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from converters.encoder.student import SOURCE
from converters.imatrix import collect_importance
from converters.onnx.quantize import ONNX_TYPES, quantize_onnx
from converters.progress import Report
from converters.quantize import QuantType, quantize
from converters.recipe import schema
from converters.recipe.bundling import Part, bundle_all
from converters.recipe.measuring import domain_text, evaluate_all
from converters.recipe.schema import CALIBRATED
from edge_runtime.bundles import bundle_files
from edge_runtime.bundles.card import Bar
from edge_runtime.config import load_settings

Run = Callable[[Mapping[str, Path], Path, Report], None]

LINES: Final = "lines"
CONVERSATIONS: Final = f"{LINES}/replies/train.jsonl"
HELD_OUT: Final = f"{LINES}/replies/valid.jsonl"
EXCLUDED: Final = "exclude."
ADAPTER: Final = "adapter"
MODEL: Final = "model"
REFERENCE: Final = "reference.gguf"
NLU_FOLDER: Final = "nlu"
BASE: Final = "base"


def format_name(recipe: str, kind: str) -> str:
    """The GGUF file or ONNX folder of a quantised format."""
    return f"{recipe}.{kind}" if kind in ONNX_TYPES else f"{recipe}.{kind}.gguf"


def synth(options: schema.Synth, head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.synth import SynthSettings, synthesize

        target = out / LINES
        if target.exists():
            return
        settings = SynthSettings(options.lines, options.languages, options.paraphrases, head.seed)
        synthesize(
            inputs["pack"],
            target,
            settings,
            paraphraser=inputs.get("paraphraser"),
            exclude=[path for name, path in inputs.items() if name.startswith(EXCLUDED)],
            threads=head.threads,
            progress=progress,
        )

    return run


def train(options: schema.Train, head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.lora import LoraSettings, train_lora

        settings = LoraSettings(**options.model_dump(exclude={"base", "data"}), seed=head.seed)
        if not (out / ADAPTER).exists():
            train_lora(
                inputs["base"],
                inputs["data"],
                out / ADAPTER,
                settings,
                threads=head.threads,
                progress=progress,
            )

    return run


def preferences(options: schema.Preferences, head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.lora import PreferenceSettings, train_preferences

        settings = PreferenceSettings(**options.model_dump(exclude={"data"}), seed=head.seed)
        if not (out / ADAPTER).exists():
            train_preferences(
                inputs["base"],
                inputs["adapter"],
                inputs["data"],
                out / ADAPTER,
                settings,
                threads=head.threads,
                progress=progress,
            )

    return run


def merge(options: schema.Merge) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.lora import merge_adapter

        if not (out / MODEL).exists():
            alone = out / f"{ADAPTER}.gguf" if options.adapter_gguf else None
            merge_adapter(
                inputs["base"],
                inputs["adapter"],
                out / MODEL,
                adapter_gguf=alone,
                progress=progress,
            )

    return run


def distil(options: schema.Distill, head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.distill.distilling import distill
        from converters.distill.settings import DistillSettings

        named = {"student", "teacher", "data"}
        settings = DistillSettings(**options.model_dump(exclude=named), seed=head.seed)
        target = out / MODEL
        if not target.exists():
            distill(
                inputs["teacher"],
                inputs["student"],
                inputs["data"],
                target,
                settings,
                threads=head.threads,
                progress=progress,
            )

    return run


def quantize_all(options: schema.Quantize, head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        how: dict[str, Any] = {"threads": head.threads, "progress": progress}
        text = domain_text(inputs["text"], out / ".text") if options.reads_text else None
        whole = out / REFERENCE
        if not whole.exists():
            quantize(inputs["model"], whole, "F16", **how)
        importance = out / "importance.safetensors" if options.importance else None
        if importance and text and not importance.exists():
            collect_importance(whole, text, importance, **how)
        for kind in options.types:
            target = out / format_name(head.name, kind)
            if target.exists():
                continue
            if kind in ONNX_TYPES:
                # Imported late: it brings the readers of checkpoints.
                from converters.checkpoints import open_base

                folder = open_base(inputs["model"], out / ".base", progress=progress)
                read = text if kind in CALIBRATED else None
                quantize_onnx(folder, target, kind, text=read, **how)
            else:
                quantize(
                    whole,
                    target,
                    cast(QuantType, kind),
                    importance=importance,
                    keep=options.keep,
                    **how,
                )

    return run


def evaluate(options: schema.Evaluate, kinds: Sequence[str], head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        evaluate_all(
            {kind: inputs[kind] for kind in kinds},
            inputs["reference"],
            inputs["data"],
            inputs.get("pack"),
            options,
            out,
            threads=head.threads,
            progress=progress,
        )

    return run


def make_base(options: schema.Student) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.dataset import read_rows
        from converters.encoder.student import make_student

        files = sorted(inputs["lines"].glob("*.jsonl"))
        if not (out / BASE).exists():
            make_student(
                inputs["encoder"] / SOURCE,
                [row for file in files for row in read_rows(file)],
                out / BASE,
                pieces=options.pieces,
                fine=options.fine_pieces,
                progress=progress,
            )

    return run


def learn_nlu(options: schema.TrainNlu, head: schema.Head) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        from converters.encoder.settings import TaskSettings
        from converters.train_nlu import Device, train_nlu

        pack = inputs.get("pack")
        if not (out / NLU_FOLDER).exists():
            train_nlu(
                inputs["data"],
                out / NLU_FOLDER,
                Device(
                    bundle_files(inputs["base"]),
                    inputs["encoder"] / SOURCE,
                    load_settings(pack=str(pack) if pack else None),
                ),
                bars={},
                outside=options.outside,
                how=TaskSettings(
                    options.epochs,
                    options.rounds,
                    rejection_cost=options.rejection_cost,
                    seed=head.seed,
                ),
                threads=head.threads,
                progress=progress,
            )

    return run


def bundle(options: schema.Bundle, head: schema.Head, bars: Mapping[str, Mapping[str, Bar]]) -> Run:
    def run(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        wanted = {name for names in options.profiles.values() for name in names}
        parts = {
            name: Part(inputs[f"{name}.card"], (inputs[name],)) for name in wanted - {schema.NLU}
        }
        if schema.NLU in wanted:
            folder = inputs[schema.NLU]
            files = tuple(sorted((folder / "files").iterdir()))
            if "base" in inputs:
                files += tuple(sorted((inputs["base"] / "files").iterdir()))
            parts[schema.NLU] = Part(folder / "card.json", files)
        bundle_all(head, options, parts, inputs.get("pack"), bars, out, progress)

    return run
