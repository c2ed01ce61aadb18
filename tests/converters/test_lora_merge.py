"""An adapter merged into its base says what the two said side by side, or there is no result."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from converter_kit import names
from gguf_kit import tiny_pair, wheel_or_skip
from lm_kit import tiny_lm
from typer.testing import CliRunner

from converters.checkpoints import INDEX, WHOLE, open_base, tensors
from converters.cli import app
from converters.errors import ConversionError, ModelFileError, OptionError
from converters.evaluate.engines import check_model, stored_bits
from converters.evaluate.measure import open_scorer
from converters.evaluate.replies_child import open_model
from converters.gguf import read_header
from converters.hf_to_gguf import convert_to_gguf
from converters.lora import merge_adapter
from converters.lora.adapter import note_base, read_adapter
from converters.quantize import quantize
from edge_runtime.errors import EngineError
from edge_runtime.generation import Prompt

pytestmark = pytest.mark.usefixtures("_steps_here")
EVERYWHERE = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj")
PROMPT = "<|im_start|>user\nCan I return the kettle?<|im_end|>\n<|im_start|>assistant\n"


def lora(
    base: Path, folder: Path, *, seed: int = 5, size: float = 0.2, fp16: bool = False, **how: Any
) -> Path:
    """An adapter as PEFT saves it whose B is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": list(EVERYWHERE), **how}
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), LoraConfig(**settings)
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=size)
    # PEFT would otherwise keep a copy of a head that grows.
    (model.half() if fp16 else model).save_pretrained(folder, save_embedding_layers=False)
    return folder


def stored(folder: Path, dtype: str, target: Path, *, shard: str = "1GB") -> Path:
    """The model of ``folder`` with its weights in another type, or in several files."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.save_pretrained(target, max_shard_size=shard)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    return target


def logits(folder: Path, adapter: Path | None = None) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(PROMPT, return_tensors="pt")["input_ids"]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.inference_mode():
        return model.eval()(input_ids=ids).logits[0]


def apart(one: Any, other: Any) -> float:
    return float((one - other).abs().max())


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm(tmp_path_factory.mktemp("base") / "lm", architecture=request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm(tmp_path_factory.mktemp("llama") / "lm")


@pytest.fixture(scope="module")
def adapter(llama: Path) -> Path:
    return lora(llama, llama.with_name("adapter"))


@pytest.fixture
def damaged(adapter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapter, tmp_path / "adapter"))


def test_logits_stay_those_of_base_and_adapter(base: Path, tmp_path: Path) -> None:
    tuned = lora(base, tmp_path / "adapter")
    made = merge_adapter(base, tuned, tmp_path / "out", threads=1)
    wanted = logits(base, tuned)
    assert apart(wanted, logits(base)) > 0.5
    assert apart(wanted, logits(made.path)) <= 1e-3
    assert made.max_difference <= 1e-3
    assert (made.changed, made.stored) == (14, "F32")
    assert names(tmp_path) == ["adapter", "out"]
    assert set(names(made.path)) == set(names(base))


def test_shared_embeddings_stay_shared_and_the_template_comes_along(
    llama: Path, adapter: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = merge_adapter(llama, adapter, tmp_path / "out", threads=1)
    found = {name for _, part in tensors(made.path) for name in part}
    assert found == {name for _, part in tensors(llama) for name in part}
    assert "lm_head.weight" not in found
    model = AutoModelForCausalLM.from_pretrained(made.path)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    before, after = (AutoTokenizer.from_pretrained(path) for path in (llama, made.path))
    assert after.chat_template == before.chat_template
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert (made.path / name).read_bytes() == (llama / name).read_bytes()


def test_a_head_of_its_own_can_grow(tmp_path: Path) -> None:
    base = tiny_lm(tmp_path / "lm", tied=False)
    tuned = lora(base, tmp_path / "adapter", target_modules=["q_proj", "lm_head"])
    made = merge_adapter(base, tuned, tmp_path / "out", threads=1)
    assert apart(logits(base, tuned), logits(made.path)) <= 1e-3
    assert made.changed == 3


def test_shards_stay_as_they_were(llama: Path, adapter: Path, tmp_path: Path) -> None:
    parts = stored(llama, "float32", tmp_path / "parts", shard="1MB")
    made = merge_adapter(parts, adapter, tmp_path / "out", threads=1)
    assert len(list(made.path.glob("*.safetensors"))) > 2
    assert (made.path / INDEX).read_bytes() == (parts / INDEX).read_bytes()
    assert apart(logits(llama, adapter), logits(made.path)) <= 1e-3


@pytest.mark.parametrize(("dtype", "name"), [("float16", "F16"), ("bfloat16", "BF16")])
def test_sixteen_bits_stay_and_only_their_rounding_shows(
    llama: Path, adapter: Path, tmp_path: Path, dtype: str, name: str
) -> None:
    half = stored(llama, dtype, tmp_path / "half")
    made = merge_adapter(half, adapter, tmp_path / "out", threads=1)
    assert made.stored == name
    assert made.beyond_rounding <= 1e-3 < made.max_difference < 1
    assert {info.dtype for _, part in tensors(made.path) for info in part.values()} == {name}


def test_a_scale_by_the_root_of_the_rank_is_known(llama: Path, tmp_path: Path) -> None:
    tuned = lora(llama, tmp_path / "adapter", use_rslora=True, size=0.1)
    made = merge_adapter(llama, tuned, tmp_path / "out", threads=1)
    assert apart(logits(llama, tuned), logits(made.path)) <= 1e-3


def test_an_adapter_in_sixteen_bits_is_merged_in_thirty_two(llama: Path, tmp_path: Path) -> None:
    tuned = lora(llama, tmp_path / "adapter", fp16=True)
    assert {info.dtype for info in read_adapter(tuned).tensors.values()} == {"F16"}
    assert merge_adapter(llama, tuned, tmp_path / "out", threads=1).max_difference <= 1e-3


def test_what_changed_the_model_is_no_result(
    llama: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.lora import merge

    def broken(path: Path, part: Any, adapter: Any, out: Path) -> None:
        shutil.copyfile(path, out)

    monkeypatch.setattr(merge, "_merge_shard", broken)
    for dtype in ("float32", "bfloat16"):
        source = stored(llama, dtype, tmp_path / dtype)
        with pytest.raises(ConversionError, match="Merging changed the model"):
            merge_adapter(source, adapter, tmp_path / "out", threads=1)
    assert not (tmp_path / "out").exists()


def test_another_base_is_refused(llama: Path, damaged: Path, tmp_path: Path) -> None:
    other = tiny_lm(tmp_path / "other", seed=9)
    note_base(damaged, other)
    with pytest.raises(ModelFileError, match="is for another base") as caught:
        merge_adapter(llama, damaged, tmp_path / "out")
    assert "\n" not in caught.value.message
    assert names(tmp_path) == ["adapter", "other"]
    note_base(damaged, llama)
    merge_adapter(llama, damaged, tmp_path / "out", threads=1)


def test_weights_that_do_not_fit_are_refused(llama: Path, tmp_path: Path) -> None:
    wide = tiny_lm(tmp_path / "wide", tied=False)
    head = lora(wide, tmp_path / "head", target_modules=["lm_head"])
    with pytest.raises(ModelFileError, match=r"another base: there is no 'lm_head\.weight'"):
        merge_adapter(llama, head, tmp_path / "out")
    qwen = tiny_lm(tmp_path / "qwen", architecture="qwen2")
    tuned = lora(qwen, tmp_path / "tuned")
    swap(tuned, lambda stored: {**stored, **taller(stored)})
    with pytest.raises(ModelFileError, match=r"base: '.*q_proj.*' is 256 by 256 there, and 257"):
        merge_adapter(qwen, tuned, tmp_path / "out")


Stored = dict[str, Any]


def swap(folder: Path, change: Callable[[Stored], Stored]) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


def taller(stored: Stored) -> Stored:
    import torch

    name = next(name for name in stored if "q_proj.lora_B" in name)
    return {name: torch.zeros(257, 4)}


def flat(stored: Stored) -> Stored:
    return {name: weight.flatten() for name, weight in stored.items()}


def halved(stored: Stored) -> Stored:
    return {name: weight for name, weight in stored.items() if "lora_A" in name}


def with_base(stored: Stored) -> Stored:
    import torch

    return {**stored, "base_model.model.lm_head.base_layer.weight": torch.zeros(4, 4)}


def renamed(stored: Stored) -> Stored:
    return {name.replace("lora_A", "other"): weight for name, weight in stored.items()}


def not_numbers(stored: Stored) -> Stored:
    return {name: weight * float("nan") for name, weight in stored.items()}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"peft_type": "IA3"}, "no LoRA adapter"),
        ({"use_dora": True}, "'use_dora', which is not supported"),
        ({"modules_to_save": ["lm_head"]}, "'modules_to_save', which is not supported"),
        ({"rank_pattern": {"q_proj": 2}}, "'rank_pattern', which is not supported"),
        ({"fan_in_fan_out": True}, "'fan_in_fan_out', which is not supported"),
        ({"r": 8}, "not of rank 8"),
        ({"r": 0}, "no rank and alpha"),
        ({"lora_alpha": None}, "no rank and alpha"),
        ({"lora_alpha": float("inf")}, "alpha that is no number"),
        (flat, "not of rank 4"),
        (halved, "lacks its other half"),
        (renamed, "no part of LoRA"),
        (with_base, "no part of LoRA"),
        (lambda stored: {}, "incomplete"),
    ],
)
def test_an_adapter_that_is_none_is_one_sentence(
    llama: Path,
    damaged: Path,
    tmp_path: Path,
    change: dict[str, Any] | Callable[[Stored], Stored],
    match: str,
) -> None:
    if isinstance(change, dict):
        config = json.loads((damaged / "adapter_config.json").read_text())
        (damaged / "adapter_config.json").write_text(json.dumps({**config, **change}))
    else:
        swap(damaged, change)
    with pytest.raises(ModelFileError, match=match) as caught:
        merge_adapter(llama, damaged, tmp_path / "out")
    assert "\n" not in caught.value.message
    assert names(tmp_path) == ["adapter"]


def test_numbers_that_are_none_make_no_model(llama: Path, damaged: Path, tmp_path: Path) -> None:
    swap(damaged, not_numbers)
    with pytest.raises(ConversionError, match="Merging changed the model"):
        merge_adapter(llama, damaged, tmp_path / "out", threads=1)
    assert not (tmp_path / "out").exists()


def test_pickles_and_cut_files_are_refused(llama: Path, damaged: Path, tmp_path: Path) -> None:
    weights = damaged / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ModelFileError, match="cut short"):
        merge_adapter(llama, damaged, tmp_path / "out")
    weights.unlink()
    (damaged / "adapter_model.bin").write_bytes(pickle.dumps([1.0]))
    with pytest.raises(ModelFileError, match="a pickle"):
        merge_adapter(llama, damaged, tmp_path / "out")
    (damaged / "adapter_config.json").write_bytes(b"{")
    with pytest.raises(ModelFileError, match="not JSON"):
        merge_adapter(llama, damaged, tmp_path / "out")
    with pytest.raises(ModelFileError, match="is no adapter"):
        merge_adapter(llama, llama, tmp_path / "out")
    assert names(tmp_path) == ["adapter"]


def test_a_damaged_base_is_refused(llama: Path, adapter: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(llama, tmp_path / "lm"))
    (base / WHOLE).write_bytes((base / WHOLE).read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="cut short"):
        merge_adapter(base, adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_no_model_and_the_next_run_makes_it(
    llama: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    command = ["merge", str(llama), str(adapter), "--out", str(tmp_path / "out"), "--threads", "1"]
    with monkeypatch.context() as patch:
        patch.setattr("converters.lora.merge._copy_rest", stop)
        stopped = CliRunner().invoke(app, command)
    assert stopped.exit_code == 130
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert names(tmp_path) == ["out"]


def test_what_is_there_is_never_overwritten(llama: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OptionError, match="exists already"):
        merge_adapter(llama, adapter, tmp_path / "out")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    llama: Path, adapter: Path, tmp_path: Path
) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    command = [sys.executable, "-c", "from converters.cli import main; main()", "merge"]
    command += [str(llama), str(adapter), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limited)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["message"].count("\n") == 0
    assert not (tmp_path / "out").exists()
    merge_adapter(llama, adapter, tmp_path / "out", threads=1)
    assert names(tmp_path) == ["out"]


def said(model: Path, adapter: Path | None = None) -> tuple[list[int], Any]:
    """What llama.cpp says greedily after the prompt, and its first logits."""
    import llama_cpp
    import numpy as np

    llm = llama_cpp.Llama(
        str(model), lora_path=adapter and str(adapter), n_ctx=256, n_threads=1, verbose=False
    )
    tokens = llm.tokenize(PROMPT.encode(), add_bos=False, special=True)
    llm.eval(tokens)
    pointer = llama_cpp.llama_get_logits_ith(llm.ctx, -1)
    first = np.ctypeslib.as_array(pointer, (llm.n_vocab(),)).copy()
    reply = []
    for _ in range(12):
        at = llama_cpp.llama_get_logits_ith(llm.ctx, -1)
        reply.append(int(np.ctypeslib.as_array(at, (llm.n_vocab(),)).argmax()))
        llm.eval(reply[-1:])
    llm.close()
    return reply, first


def test_the_adapter_alone_says_in_llama_cpp_what_the_merged_model_says(
    base: Path, tmp_path: Path
) -> None:
    import numpy as np

    wheel_or_skip()
    tuned = lora(base, tmp_path / "adapter")
    alone = tmp_path / "adapter.gguf"
    made = merge_adapter(base, tuned, tmp_path / "out", adapter_gguf=alone, threads=1)
    whole = convert_to_gguf(base, tmp_path / "base.gguf", "F32")
    merged = convert_to_gguf(made.path, tmp_path / "merged.gguf", "F32")
    header = read_header(alone)
    assert header.metadata["general.type"] == "adapter"
    assert header.metadata["adapter.type"] == "lora"
    assert header.metadata["adapter.lora.alpha"] == 8
    assert {tensor.name for tensor in header.tensors} >= {
        "blk.0.attn_q.weight.lora_a",
        "blk.1.ffn_down.weight.lora_b",
    }
    (reply, first), (wanted, expected) = said(whole, alone), said(merged)
    assert reply == wanted
    assert np.abs(first - expected).max() <= 2e-3
    assert np.abs(first - said(whole)[1]).max() > 0.5

    together = tmp_path / "together"
    together.mkdir()
    shutil.copy(whole, together / "model.gguf")
    shutil.copy(alone, together / "adapter.gguf")
    check_model(together)
    assert stored_bits(together) == 16
    read = [open_scorer(path, 1) for path in (together, merged)]
    tokens = read[0].tokens(PROMPT)
    one, other = (scorer.read(tokens, 0, all_rows=True) for scorer in read)
    assert np.abs(one - other).max() <= 2e-2  # the scorers' caches are of 16 bits
    in_runtime = open_model(together, 1, exact=True)
    prompt = Prompt("You help.", "Facts: none.", "hello")
    limits: dict[str, Any] = {"max_tokens": 12, "timeout_s": 60, "cancelled": threading.Event()}
    assert list(in_runtime.stream(prompt, **limits)) == list(
        open_model(merged, 1, exact=True).stream(prompt, **limits)
    )
    (together / "adapter.gguf").write_bytes(alone.read_bytes()[:-400])
    with pytest.raises(EngineError, match="does not fit"):
        open_model(together, 1, exact=True)


def test_a_gguf_base_goes_the_same_way(tmp_path: Path) -> None:
    import numpy as np

    _, whole = tiny_pair(tmp_path)
    small = tmp_path / "small.gguf"
    quantize(whole, small, "Q8_0", threads=1)
    tuned = lora(open_base(small, tmp_path / "opened"), tmp_path / "adapter", size=0.1)
    note_base(tuned, small)
    run = CliRunner().invoke(
        app,
        [
            *("merge", str(small), str(tuned), "--out", str(tmp_path / "out"), "--json"),
            *("--adapter-gguf", str(tmp_path / "alone.gguf"), "--threads", "1"),
        ],
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["max_difference"] <= 1e-3
    assert told["size"] == (tmp_path / "alone.gguf").stat().st_size
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    merged = convert_to_gguf(tmp_path / "out", tmp_path / "merged.gguf", "F32")
    assert read_header(merged).metadata["tokenizer.ggml.eos_token_id"] == 2
    first, expected = said(small, tmp_path / "alone.gguf")[1], said(merged)[1]
    # The base's own multiplications are in 8 bits.
    assert np.abs(first - expected).max() < 0.1 * np.abs(expected).max()


def test_an_adapter_that_has_no_gguf_form_stops_before_anything_is_made(
    llama: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.lora.adapter_gguf._ARCHITECTURES", ())
    with pytest.raises(ModelFileError, match="no GGUF form"):
        merge_adapter(llama, adapter, tmp_path / "out", adapter_gguf=tmp_path / "alone.gguf")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "alone.gguf").exists()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_tells_what_it_did(
    llama: Path, adapter: Path, tmp_path: Path, as_json: bool
) -> None:
    command = ["merge", str(llama), str(adapter), "--out", str(tmp_path / "out"), "--threads", "1"]
    run = CliRunner().invoke(app, [*command, *(["--json"] if as_json else [])])
    assert run.exit_code == 0, run.output
    if as_json:
        told = json.loads(run.stdout)
        assert (told["changed"], told["tensors"], told["stored"]) == (14, 20, "F32")
        assert told["beyond_rounding"] <= 1e-3
    else:
        assert "14 of 20 weights grew (F32)" in run.stdout
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
