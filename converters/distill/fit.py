"""Trains the student in one of two ways; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``way`` (``"replies"``: the teacher's replies are imitated; Kim and Rush,
"Sequence-Level Knowledge Distillation", EMNLP 2016; ``"own"``: the student's own replies are held
against the teacher's expectations; Agarwal et al., "On-Policy Distillation of Language Models",
ICLR 2024), ``student`` and ``teacher`` (Hugging Face folders; for ``"replies"`` the teacher may be
null), ``data`` and ``held`` (conversations to learn from and to measure on), ``out`` (the folder to
save to), ``scratch`` (a folder for checkpoints, which a later run continues from), ``losses`` (a
JSON Lines file), ``measured`` (a JSON file: the divergence ``"before"`` and ``"after"``),
``threads`` and ``settings``, those of :class:`converters.distill.settings.DistillSettings`.
``[done/all]`` lines on standard error tell how far it is.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from converters.child import tell_progress
from converters.distill.divergence import divergence
from converters.training import (
    arguments,
    load_model,
    open_tokenizer,
    read_rows,
    run,
    say_why,
)
from edge_runtime.files import write_atomic

from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]  # isort: skip
from trl.experimental.gkd import GKDConfig, GKDTrainer  # isort: skip


def fit(job: dict[str, Any]) -> None:
    settings = job["settings"]
    torch.set_num_threads(job["threads"])
    set_seed(settings["seed"])
    tokenizer = open_tokenizer(job["student"])
    student = load_model(job["student"])
    teacher = load_model(job["teacher"]) if job["teacher"] else None
    held = read_rows(Path(job["held"]))
    length = settings["max_length"] + settings["max_reply"]
    before = divergence(student, teacher, tokenizer, held, length, tell_progress)
    model: Any = _trained(job, student, teacher, tokenizer)
    after = divergence(model.eval(), teacher, tokenizer, held, length, tell_progress)
    write_atomic(Path(job["measured"]), json.dumps({"before": before, "after": after}).encode())
    _save(model, tokenizer, Path(job["out"]))


def _trained(
    job: dict[str, Any],
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
) -> PreTrainedModel:
    rows = read_rows(Path(job["data"]))
    if job["way"] == "replies":
        trainer: Any = _imitation(job, student, tokenizer, rows)
    else:
        trainer = _guidance(job, student, teacher, tokenizer, rows)
    run(trainer, Path(job["scratch"]), Path(job["losses"]))
    model: Any = trainer.model
    return cast(
        PreTrainedModel, model.merge_and_unload() if isinstance(model, PeftModel) else model
    )


def _imitation(
    job: dict[str, Any],
    student: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[dict[str, Any]],
) -> SFTTrainer:
    settings = job["settings"]
    steps = -(-len(rows) // settings["batch"]) * settings["epochs"]
    pairs = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
    return SFTTrainer(
        student,
        args=SFTConfig(
            **arguments(
                job["scratch"],
                steps,
                settings["learning_rate"],
                settings["batch"],
                settings["seed"],
            ),
            max_length=settings["max_length"],
            completion_only_loss=True,
        ),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
        peft_config=_lora(settings["rank"]),
    )


def _guidance(
    job: dict[str, Any],
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[dict[str, Any]],
) -> GKDTrainer:
    settings = job["settings"]
    if teacher is None:
        raise ValueError("the student's own replies need a teacher")
    if teacher.config.vocab_size != student.config.vocab_size:
        # Same pieces, padded to another width: the padding means nothing in either.
        teacher.resize_token_embeddings(student.config.vocab_size)
    return GKDTrainer(
        student,
        teacher_model=teacher,
        args=GKDConfig(
            **arguments(
                job["scratch"],
                settings["on_policy_steps"],
                settings["learning_rate"] / 4,
                settings["batch"],
                settings["seed"],
            ),
            max_length=settings["max_length"],
            max_new_tokens=settings["max_reply"],
            lmbda=settings["own_share"],
            beta=settings["beta"],
            temperature=settings["temperature"],
        ),
        train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in rows]),
        processing_class=tokenizer,
        peft_config=_lora(settings["rank"]),
    )


def _lora(rank: int) -> LoraConfig | None:
    if not rank:
        return None
    return LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial, safe_serialization=True)
    tokenizer.save_pretrained(partial)
    partial.rename(out)


def main(given: list[str]) -> int:
    return say_why(fit, json.loads(given[0]))
