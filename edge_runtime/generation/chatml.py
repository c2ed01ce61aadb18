"""How a prompt is written for chat models in ChatML form (Qwen2.5, SmolLM2), and how they answer.

Every engine writes and samples alike, so that one model answers alike whatever runs it.
"""

from __future__ import annotations

from typing import Final

START: Final = "<|im_start|>"
END: Final = "<|im_end|>"
SYSTEM: Final = f"{START}system\n"
USER: Final = f"{END}\n{START}user\n"
ANSWER: Final = f"{END}\n{START}assistant\n"

BATCH: Final = 64
"""Tokens evaluated between two looks at the clock and at cancellation."""

REPEAT_LAST_N: Final = 64
REPEAT_PENALTY: Final = 1.05
"""Greedy with a light repetition penalty: the same question gets the same answer."""
