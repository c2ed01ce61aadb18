"""Trains an adapter; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``way`` (``"replies"``: the replies of conversations; ``"preferences"``:
better replies against worse ones), ``base`` (a Hugging Face folder), ``adapter`` (a folder to go on
from, or null), ``data`` and ``held`` (JSON Lines to learn from and to measure on), ``out`` (the
folder to save to), ``scratch`` (a folder for checkpoints, which a later run continues from),
``losses`` (a JSON Lines file), ``measured`` (a JSON file), ``threads`` and ``settings``, those of
:mod:`converters.lora.settings`. ``[done/all]`` lines on standard error tell how far it is.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig, PeftModel
from transformers import set_seed

from converters.training import (
    Unfit,
    arguments,
    autocast,
    load_model,
    open_tokenizer,
    processes,
    read_rows,
    run,
    say_why,
)
from edge_runtime.files import write_atomic

from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer  # type: ignore[attr-defined]  # isort: skip

Rows = list[dict[str, Any]]


def fit(job: dict[str, Any]) -> None:
    settings = job["settings"]
    torch.set_num_threads(job["threads"])
    set_seed(settings["seed"])
    tokenizer = open_tokenizer(job["base"])
    if not tokenizer.chat_template:
        raise Unfit("the base has no chat template; an instruction-tuned model has one")
    whole, apart = read_rows(Path(job["data"])), read_rows(Path(job["held"]))
    rows = _fitting(whole, tokenizer, settings)
    if not rows:
        raise Unfit(f"no prompt leaves room for a reply within {settings['max_length']} tokens")
    held = _fitting(apart, tokenizer, settings) or rows[: len(apart)]
    make = _replies if job["way"] == "replies" else _preferences
    started = time.monotonic()
    trainer = make(job, tokenizer, rows)
    measure = _surprise if job["way"] == "replies" else _margin
    before = measure(trainer.model, tokenizer, held, settings)
    run(trainer, Path(job["scratch"]), Path(job["losses"]))
    after = measure(trainer.model, tokenizer, held, settings)
    found = {
        "before": before,
        "after": after,
        "lines": len(rows),
        "too_long": len(whole) - len(rows),
        "steps": trainer.state.global_step,
        "tokens": trainer.state.num_input_tokens_seen,
        "seconds": round(time.monotonic() - started, 1),
    }
    if trainer.is_world_process_zero():
        write_atomic(Path(job["measured"]), json.dumps(found).encode())
        _save(trainer.model, Path(job["out"]))


def _asked(row: dict[str, Any]) -> Rows:
    messages: Rows = row["messages"]
    return messages if "chosen" in row else messages[:-1]


def _fitting(rows: Rows, tokenizer: Any, settings: dict[str, Any]) -> Rows:
    """Those whose reply begins before they are cut off. The trainers drop the others themselves,
    but only after steps were counted."""
    limit = settings["max_length"]
    return [
        row
        for row in rows
        if len(tokenizer.apply_chat_template(_asked(row), add_generation_prompt=True)) < limit
    ]


def _replies(job: dict[str, Any], tokenizer: Any, rows: Rows) -> Any:
    settings = job["settings"]
    args = SFTConfig(
        **_arguments(job, len(rows)),
        gradient_accumulation_steps=settings["accumulate"],
        max_length=settings["max_length"],
        completion_only_loss=True,
    )
    model = load_model(job["base"])
    _check_modules(model, settings["modules"])
    # An adapter beside a table that two layers share could not be merged into either.
    if getattr(model.config, "tie_word_embeddings", False) and "lm_head" in settings["modules"]:
        raise Unfit("lm_head shares its weights with the embeddings and takes no adapter")
    pairs = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
    return SFTTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings["rank"],
            lora_alpha=settings["alpha"],
            lora_dropout=settings["dropout"],
            target_modules=list(settings["modules"]),
            task_type="CAUSAL_LM",
        ),
    )


def _check_modules(model: torch.nn.Module, modules: list[str]) -> None:
    """PEFT would also adapt word tables and convolutions, which merging refuses."""
    for name, module in model.named_modules():
        meant = any(name == one or name.endswith(f".{one}") for one in modules)
        if meant and not isinstance(module, torch.nn.Linear):
            raise Unfit(f"{name} is no linear layer and takes no adapter")


def _preferences(job: dict[str, Any], tokenizer: Any, rows: Rows) -> Any:
    settings = job["settings"]
    args = DPOConfig(
        **_arguments(job, len(rows)),
        beta=settings["beta"],
        max_length=settings["max_length"],
        precompute_ref_log_probs=True,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, settings["imitation"]],
    )
    model = PeftModel.from_pretrained(load_model(job["base"]), job["adapter"], is_trainable=True)
    pairs = [
        {
            "prompt": row["messages"],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in rows
    ]
    trainer: Any = DPOTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    # By now the trainer has asked its copy of the adapter as it was, from which moving away costs,
    # what it thinks of every reply. Were the copy kept, a checkpoint would hold two adapters, and
    # going on from it would load the copy and leave the one that is trained as it was.
    for name in [name for name in trainer.model.peft_config if name != "default"]:
        trainer.model.delete_adapter(name)
    return trainer


def _arguments(job: dict[str, Any], rows: int) -> dict[str, Any]:
    settings = job["settings"]
    a_step = settings["batch"] * settings.get("accumulate", 1) * processes()
    steps = -(-rows // a_step) * settings["epochs"]
    if settings["steps"]:
        steps = min(steps, settings["steps"])
    given = arguments(
        job["scratch"], steps, settings["learning_rate"], settings["batch"], settings["seed"]
    )
    return given | {
        "gradient_checkpointing": torch.cuda.is_available(),
        "include_num_input_tokens_seen": "non_padding",
    }


def _surprise(model: Any, tokenizer: Any, held: Rows, settings: dict[str, Any]) -> float:
    """Mean nats a token of the held-out replies."""
    total, count = 0.0, 0
    model.eval()
    for row in held:
        loss, tokens = _reply_loss(
            model, tokenizer, _asked(row), row["messages"][-1]["content"], settings
        )
        total, count = total + loss, count + tokens
    return total / max(1, count)


def _margin(model: Any, tokenizer: Any, held: Rows, settings: dict[str, Any]) -> float:
    """By how many nats the better replies are likelier than the worse ones, on average."""
    margins = []
    model.eval()
    for row in held:
        losses = [
            _reply_loss(model, tokenizer, _asked(row), row[side], settings)[0]
            for side in ("rejected", "chosen")
        ]
        margins.append(losses[0] - losses[1])
    return sum(margins) / max(1, len(margins))


def _reply_loss(
    model: Any, tokenizer: Any, prompt: Rows, reply: str, settings: dict[str, Any]
) -> tuple[float, int]:
    """Nats of the reply after the prompt, and how many tokens it has, with the template's mark of
    its end as in training."""
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": reply}])
    ids = torch.tensor([whole[: settings["max_length"]]], device=model.device)
    with torch.inference_mode(), autocast():
        logits = model(input_ids=ids).logits[0].float()
    targets = ids[0, len(asked) :]
    if not len(targets):
        return 0.0, 0
    chances = logits[len(asked) - 1 : -1].log_softmax(-1)
    return -float(chances.gather(1, targets[:, None]).sum()), len(targets)


def _save(model: Any, out: Path) -> None:
    partial = out.with_name(f".{out.name}.saving")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(
        partial,
        safe_serialization=True,
        selected_adapters=["default"],
        save_embedding_layers=False,
    )
    config = json.loads((partial / "adapter_config.json").read_bytes())
    # Where the base lay on this machine says nothing elsewhere, and sets have no order.
    config["base_model_name_or_path"] = ""
    config["target_modules"] = sorted(config["target_modules"])
    (partial / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
    (partial / "README.md").unlink(missing_ok=True)
    partial.rename(out)


def main(given: list[str]) -> int:
    return say_why(fit, json.loads(given[0]))
