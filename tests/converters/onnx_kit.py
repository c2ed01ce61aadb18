"""What the tests of ONNX models share: a tiny encoder, and what a folder must never hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from lm_kit import tiny_lm

TEXT = (
    "Goods may be returned within fourteen days if the packaging is whole. Food cannot be "
    "returned. The repair of a kettle takes about five working days, and a loan is possible. "
)


def tiny_encoder(folder: Path) -> Path:
    """A BERT with random weights and the tokeniser of :func:`lm_kit.tiny_lm`."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    words = tiny_lm(folder.with_name("words"))
    vocabulary = len(AutoTokenizer.from_pretrained(words, local_files_only=True))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (words / name).is_file():
            shutil.copy(words / name, folder)
    return folder


def copied(folder: Path, target: Path) -> Path:
    """A copy of a folder that a test may damage."""
    shutil.copytree(folder, target)
    return target
