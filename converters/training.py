"""What every training of a language model shares: progress, losses, checkpoints, loading.

Runs in child processes only: it imports torch and transformers.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

# The trainer lives in a part of the library that warns on import and may not ask the hub anything.
os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
)

from converters.child import tell_progress, tell_reason

_CHECKPOINTS: Final = 5
_LOGGED: Final = 50


# On Hopper cards cuDNN's backward pass gives gradients that are no numbers where a batch is padded
# (PyTorch issue 196678); the other kernels do not, and are as fast here.
torch.backends.cuda.enable_cudnn_sdp(False)


class Unfit(Exception):
    """The model cannot be trained like this; the message says why, in a sentence's second half."""


class Watch(TrainerCallback):
    """Tells the parent how far training is and keeps its losses; the first process speaks for all
    that train together."""

    def __init__(self, losses: Path) -> None:
        self._losses = losses
        self._last = ""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            step, steps = state.global_step, state.max_steps
            tell_progress(step, steps, f"step {step} of {steps}{self._last}")

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if "loss" in logs and not math.isfinite(float(logs["loss"])):
            raise Unfit(
                f"the loss became {logs['loss']} before step {state.global_step}: the weights are "
                "lost; begin again with a smaller learning rate"
            )
        if state.is_world_process_zero and "loss" in logs:
            self._last = f", loss {float(logs['loss']):.3f}"
            with self._losses.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, "loss": logs["loss"]}) + "\n")


def arguments(
    scratch: str, steps: int, learning_rate: float, batch: int, seed: int
) -> dict[str, Any]:
    """What all trainers are told alike."""
    on_gpu = torch.cuda.is_available()
    return {
        "output_dir": scratch,
        "max_steps": steps,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": steps // 20,
        "per_device_train_batch_size": batch,
        "save_steps": max(1, steps // _CHECKPOINTS),
        "save_total_limit": 1,
        "logging_steps": max(1, steps // _LOGGED),
        # Otherwise a loss that is no number would be told as 0.
        "logging_nan_inf_filter": False,
        "seed": seed,
        "use_cpu": not on_gpu,
        "bf16": on_gpu or fast_bfloat16(),
        "gradient_checkpointing": False,
        "dataloader_pin_memory": on_gpu,
        "report_to": [],
        "disable_tqdm": True,
    }


def processes() -> int:
    """How many train together, each on a graphics card of its own."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices itself; elsewhere that is far slower."""
    return bool(torch.cpu._is_amx_tile_supported())


def autocast() -> torch.autocast:
    """The precision that training has, for measuring beside it."""
    if torch.cuda.is_available():
        return torch.autocast("cuda", torch.bfloat16)
    return torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16())


def run(trainer: Any, scratch: Path, losses: Path) -> None:
    """Train to the end, from the last checkpoint in ``scratch`` on where there is one."""
    # Progress goes to the parent, not to standard output.
    trainer.remove_callback(PrinterCallback)
    last = _last_checkpoint(scratch)
    if trainer.is_world_process_zero():
        _keep_losses(losses, until=_step_of(Path(last)) if last else 0)
    trainer.add_callback(Watch(losses))
    trainer.train(resume_from_checkpoint=last)


def open_tokenizer(folder: str) -> Any:
    """The tokenizer, able to pad."""
    tokenizer: Any = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
        folder, local_files_only=True
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: str) -> PreTrainedModel:
    """The model in ``folder`` in 32 bits, on this process's graphics card where there is one."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    card = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return cast(PreTrainedModel, model.to(card if torch.cuda.is_available() else "cpu"))


def read_rows(data: Path) -> list[dict[str, Any]]:
    """The lines of a JSON Lines file that the parent has checked."""
    with data.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def say_why(fit: Callable[[dict[str, Any]], None], job: dict[str, Any]) -> int:
    """Run ``fit``; that a model is unfit is told without a traceback."""
    try:
        fit(job)
    except Unfit as error:
        tell_reason(str(error))
        return 1
    return 0


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
