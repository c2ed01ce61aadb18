"""How far a student is from its teacher, over the tokens of the teacher's replies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel


def divergence(
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    max_length: int,
    report: Callable[[int, int], None],
) -> dict[str, float]:
    """Perplexity of the replies; with a teacher also KL(teacher ‖ student) in nats a token and the
    share of tokens where both expect the same.

    ``rows`` are conversations that end with the teacher's reply; of those longer than
    ``max_length`` tokens the beginning is lost. Both models keep the mode they are in.
    """
    surprise, apart, agreed, count = 0.0, 0.0, 0, 0
    for done, row in enumerate(rows):
        report(done, len(rows))
        tokens, start = _tokens(tokenizer, row["messages"], max_length)
        found = _log_chances(student, tokens, start)
        replied = torch.tensor(tokens[start:], device=found.device)
        surprise -= float(found.gather(1, replied[:, None]).sum(dtype=torch.float64))
        count += len(replied)
        if teacher is not None:
            wanted = _log_chances(teacher, tokens, start)
            width = min(wanted.shape[1], found.shape[1])
            terms = wanted[:, :width].exp() * (wanted[:, :width] - found[:, :width])
            apart += float(terms.sum(dtype=torch.float64))
            agreed += int((wanted.argmax(1) == found.argmax(1)).sum())
    measured = {"perplexity": math.exp(surprise / count), "tokens": float(count)}
    if teacher is not None:
        measured |= {"mean_kl": max(0.0, apart / count), "top1_agreement": agreed / count}
    return measured


def _tokens(tokenizer: Any, messages: list[dict[str, str]], limit: int) -> tuple[list[int], int]:
    """The conversation as token ids, its beginning lost where it is too long, and where the reply
    starts."""
    asked = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    start = len(tokenizer(asked, add_special_tokens=False)["input_ids"])
    tokens = tokenizer(whole, add_special_tokens=False)["input_ids"]
    lost = max(0, len(tokens) - limit)
    return tokens[lost:], max(1, start - lost)


def _log_chances(model: PreTrainedModel, tokens: list[int], start: int) -> torch.Tensor:
    """Log-probabilities of each token from ``start`` on, shape (tokens from there, vocabulary)."""
    with torch.inference_mode():
        logits = model(torch.tensor([tokens], device=model.device)).logits
    return torch.log_softmax(logits[0, start - 1 : -1].float(), dim=-1)
