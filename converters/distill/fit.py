"""Trains the student in one of two ways; ``python -m converters.distill.fit JOB``.

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
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final, cast

# The trainer lives in a part of the library that warns on import and may not ask the hub anything.
os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]
from trl.experimental.gkd import GKDConfig, GKDTrainer

from converters.distill.divergence import divergence
from edge_runtime.files import write_atomic

_CHECKPOINTS: Final = 5
_LOGGED: Final = 50


class _Watch(TrainerCallback):
    """Tells the parent how far training is and keeps its losses."""

    def __init__(self, losses: Path) -> None:
        self._losses = losses

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        _report(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if "loss" in (logs := kwargs["logs"]):
            with self._losses.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, "loss": logs["loss"]}) + "\n")


def fit(job: dict[str, Any]) -> None:
    settings = job["settings"]
    torch.set_num_threads(job["threads"])
    set_seed(settings["seed"])
    tokenizer: Any = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
        job["student"], local_files_only=True
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    student = _load(job["student"])
    teacher = _load(job["teacher"]) if job["teacher"] else None
    held = _rows(Path(job["held"]))
    length = settings["max_length"] + settings["max_reply"]
    before = divergence(student, teacher, tokenizer, held, length, _report)
    model: Any = _trained(job, student, teacher, tokenizer)
    after = divergence(model.eval(), teacher, tokenizer, held, length, _report)
    write_atomic(Path(job["measured"]), json.dumps({"before": before, "after": after}).encode())
    _save(model, tokenizer, Path(job["out"]))


def _trained(
    job: dict[str, Any],
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
) -> PreTrainedModel:
    rows = _rows(Path(job["data"]))
    if job["way"] == "replies":
        trainer: Any = _imitation(job, student, tokenizer, rows)
    else:
        trainer = _guidance(job, student, teacher, tokenizer, rows)
    # Progress goes to the parent, not to standard output.
    trainer.remove_callback(PrinterCallback)
    losses = Path(job["losses"])
    last = _last_checkpoint(Path(job["scratch"]))
    _keep_losses(losses, until=_step_of(Path(last)) if last else 0)
    trainer.add_callback(_Watch(losses))
    trainer.train(resume_from_checkpoint=last)
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
            **_common(job, steps, settings["learning_rate"]),
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
            **_common(job, settings["on_policy_steps"], settings["learning_rate"] / 4),
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


def _report(done: int, total: int) -> None:
    sys.stderr.write(f"[{done}/{total}]\n")
    sys.stderr.flush()


def _common(job: dict[str, Any], steps: int, learning_rate: float) -> dict[str, Any]:
    """What both trainers are told alike."""
    settings = job["settings"]
    on_gpu = torch.cuda.is_available()
    return {
        "output_dir": job["scratch"],
        "max_steps": steps,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": steps // 20,
        "per_device_train_batch_size": settings["batch"],
        "save_steps": max(1, steps // _CHECKPOINTS),
        "save_total_limit": 1,
        "logging_steps": max(1, steps // _LOGGED),
        "seed": settings["seed"],
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": on_gpu,
        "report_to": [],
        "disable_tqdm": True,
    }


def _lora(rank: int) -> LoraConfig | None:
    if not rank:
        return None
    return LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _load(folder: str) -> PreTrainedModel:
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    return cast(PreTrainedModel, model.to("cuda" if torch.cuda.is_available() else "cpu"))


def _rows(data: Path) -> list[dict[str, Any]]:
    with data.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint: the state, which is written last, can be read."""
    found = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=lambda p: _step_of(p.parent))
    for state in reversed(found):
        try:
            json.loads(state.read_bytes())
        except ValueError:
            continue
        return str(state.parent)
    return None


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _keep_losses(losses: Path, *, until: int) -> None:
    """Drop what a killed run noted after its last checkpoint: those steps are taken again."""
    if losses.exists():
        kept = [line for line in losses.read_text("utf-8").splitlines(keepends=True) if line]
        kept = [line for line in kept if json.loads(line)["step"] <= until]
        losses.write_text("".join(kept), "utf-8")


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial, safe_serialization=True)
    tokenizer.save_pretrained(partial)
    partial.rename(out)


def main(arguments: list[str]) -> int:
    fit(json.loads(arguments[0]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
