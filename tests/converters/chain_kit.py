"""A tiny language model that has learnt four answers by heart, and the conversations about them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lm_kit import tiny_lm

ANSWERS = {
    "order": "Your order is on its way.",
    "refund": "You get your money back.",
    "hours": "We open at nine.",
    "return": "You have thirty days.",
}
PHRASES = ("my {}", "about {}", "tell me: {}", "{}?", "what of {}", "{} now", "the {}", "ask {}")


def conversations() -> Iterator[dict[str, Any]]:
    """Thirty-two, each way of asking about each of the four."""
    for phrase, (word, answer) in itertools.product(PHRASES, ANSWERS.items()):
        yield {
            "lang": "en",
            "messages": [
                {"role": "user", "content": phrase.format(word)},
                {"role": "assistant", "content": answer},
            ],
        }


def taught_lm(folder: Path, *, seed: int = 0, steps: int = 200) -> Path:
    """A tiny model trained on :func:`conversations` until it ends its replies by itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_lm(folder, seed=seed)
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = [tokenizer.apply_chat_template(row["messages"]) for row in conversations()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        tokens = torch.tensor([texts[step * 7 % len(texts)]])
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder
