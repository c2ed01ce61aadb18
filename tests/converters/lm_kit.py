"""A tiny decoder with random weights, its byte-pair tokenizer and chat template, made in place."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Architecture = Literal["llama", "qwen2"]

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# What GPT-2 and Qwen2 cut text by before pairs are merged; llama.cpp has the same rule by name.
RULE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = (
    "Goods may be returned within 14 days with the receipt. Food cannot be returned. "
    "My order refund hours return kettle bread shop open at nine. You are Sprig. Answer the "
    "customer in one or two sentences, only from the facts. 退货 订单 小票 "
    "可以退 食品一经售出概不退换 "
    "¿Puedo devolver el recibo? Abrimos la tienda. system user assistant "
)


def tiny_lm(
    folder: Path, *, seed: int = 0, architecture: Architecture = "llama", tied: bool = True
) -> Path:
    """A folder as ``save_pretrained`` writes it, about 3.5 MB."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    tokenizer = _tokenizer()
    sizes = {
        "vocab_size": len(tokenizer),
        # The K formats of llama.cpp cut rows into blocks of 256.
        "hidden_size": 256,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": tied,
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|im_start|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        # Random weights of the usual size would leave logits too near one another to compare.
        "initializer_range": 0.1,
    }
    torch.manual_seed(seed)
    if architecture == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**sizes))
    # Bytes that are no character alone, and marks that end no turn, are never the likeliest: every
    # reply is readable text.
    unreadable = [
        index
        for token, index in tokenizer.get_vocab().items()
        if token in SPECIAL[:2] or not (token.isascii() or token[0] == "Ġ")
    ]
    with torch.no_grad():
        model.get_input_embeddings().weight[unreadable] = 0
        model.get_output_embeddings().weight[unreadable] = 0
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer():  # type: ignore[no-untyped-def]
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(RULE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([WORDS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        model_max_length=1024,
    )
