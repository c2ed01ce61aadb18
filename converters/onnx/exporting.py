"""What the child process does to export; torch, transformers and Optimum are imported here only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]
import torch
from optimum.exporters.onnx import main_export  # type: ignore[import-untyped]
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from converters.onnx.folder import MODEL, copy_companions, read_graph, write_graph
from converters.onnx.graph import add_first_logit
from edge_runtime.generation.onnx_decoder import OnnxDecoder

_RAW: Final = "raw"
_PROBE: Final = 24
_SPLIT: Final = 16

Values = npt.NDArray[np.float32]


def export(job: Mapping[str, Any]) -> dict[str, Any]:
    """Export ``source`` into ``target``; tells the largest difference from the original."""
    source, target, threads = Path(job["source"]), Path(job["target"]), int(job["threads"])
    torch.set_num_threads(threads)
    decoder = _is_decoder(source)
    _step(0)
    with contextlib.redirect_stdout(sys.stderr):
        main_export(
            str(source),
            target / _RAW,
            task="text-generation-with-past" if decoder else "feature-extraction",
            library_name="transformers",
            local_files_only=True,
            trust_remote_code=False,
            do_validation=False,
            dtype="fp32",
            device="cpu",
        )
    _step(1)
    graph = read_graph(target / _RAW / MODEL)
    if decoder:
        add_first_logit(graph)
    write_graph(graph, target)
    copy_companions(target / _RAW, target)
    copy_companions(source, target)
    _step(2)
    tokens = _probe(source)
    wanted = _torch_values(source, tokens, decoder=decoder)
    found = (_decoder_values if decoder else _encoder_values)(target / MODEL, tokens, threads)
    _step(3)
    return {
        "max_difference": float(np.abs(found - wanted).max()),
        "largest": float(np.abs(wanted).max()),
    }


def _is_decoder(source: Path) -> bool:
    config = AutoConfig.from_pretrained(source, local_files_only=True)
    return any(str(name).endswith("ForCausalLM") for name in config.architectures or ())


def _probe(source: Path) -> list[int]:
    vocabulary = AutoConfig.from_pretrained(source, local_files_only=True).vocab_size
    return [int(token) for token in np.random.default_rng(0).integers(3, vocabulary, _PROBE)]


def _torch_values(source: Path, tokens: Sequence[int], *, decoder: bool) -> Values:
    kind = AutoModelForCausalLM if decoder else AutoModel
    model = kind.from_pretrained(
        source, local_files_only=True, use_safetensors=True, dtype=torch.float32
    ).eval()
    with torch.no_grad():
        result = model(input_ids=torch.tensor([list(tokens)]))
    values: Values = (result.logits if decoder else result.last_hidden_state)[0].numpy()
    return values


def _decoder_values(model: Path, tokens: Sequence[int], threads: int) -> Values:
    # In two reads, so that the cache is held against the original too.
    decoder = OnnxDecoder(model, threads)
    before, past = decoder.read(tokens[:_SPLIT], decoder.empty, all_rows=True)
    after, _ = decoder.read(tokens[_SPLIT:], past, all_rows=True)
    return np.concatenate([before, after])


def _encoder_values(model: Path, tokens: Sequence[int], threads: int) -> Values:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    row = np.array([list(tokens)], np.int64)
    given = {"input_ids": row, "attention_mask": np.ones_like(row)}
    given["token_type_ids"] = np.zeros_like(row)
    names = {value.name for value in session.get_inputs()}
    feeds = {name: value for name, value in given.items() if name in names}
    values: Values = session.run(["last_hidden_state"], feeds)[0][0]
    return values


def _step(done: int) -> None:
    sys.stderr.write(f"[{done}/3]\n")
    sys.stderr.flush()
