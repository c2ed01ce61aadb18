"""Hugging Face folders are held against their own words before anything opens them."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from converter_kit import names
from gguf_kit import tiny_pair
from lm_kit import tiny_lm

from converters.checkpoints import (
    INDEX,
    USUAL_KINDS,
    WHOLE,
    check_checkpoint,
    open_base,
    tensors,
)
from converters.errors import ConversionError, ModelFileError
from converters.quantize import quantize

pytestmark = pytest.mark.usefixtures("_steps_here")
Damage = Callable[[Path], object]
NOISE = b"\x00\xff" * 500


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm(tmp_path_factory.mktemp("sound") / "lm")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A sound folder to be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "lm"))


def sharded(source: Path, target: Path) -> Path:
    """The same model in several files."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(source).save_pretrained(target, max_shard_size="1MB")
    AutoTokenizer.from_pretrained(source).save_pretrained(target)
    assert len(list(target.glob("*.safetensors"))) > 2
    return target


def header_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    found: dict[str, Any] = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    return found


def with_header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Damages what the header says of the tensors, and leaves the tensors."""

    def damage(folder: Path) -> None:
        path = folder / WHOLE
        data = path.read_bytes()
        rest = data[8 + struct.unpack("<Q", data[:8])[0] :]
        header = header_of(path)
        change(header)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + rest)

    return damage


def first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = header["model.embed_tokens.weight"]
    return found


def set_config(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return damage


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def cut(share: float) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / WHOLE).read_bytes()
        (folder / WHOLE).write_bytes(data[: int(len(data) * share)])

    return damage


def pickled(folder: Path) -> None:
    (folder / WHOLE).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps([1.0] * 50))


def twice(folder: Path) -> None:
    index = {"weight_map": dict.fromkeys(header_of(folder / WHOLE), "model-1.safetensors")}
    (folder / INDEX).write_text(json.dumps(index))


def refused(folder: Path, match: str) -> ModelFileError:
    with pytest.raises(ModelFileError, match=match) as caught:
        check_checkpoint(folder)
    assert "\n" not in caught.value.message
    return caught.value


def test_what_transformers_saved_is_sound(sound: Path, tmp_path: Path) -> None:
    check_checkpoint(sound)
    parts = sharded(sound, tmp_path / "parts")
    check_checkpoint(parts)
    stored = {name: info for _, part in tensors(parts) for name, info in part.items()}
    assert stored.keys() == header_of(sound / WHOLE).keys() - {"__metadata__"}


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (remove("config.json"), "no Hugging Face folder"),
        (write("config.json", b"{"), "not JSON"),
        (write("config.json", b"[1]"), "not a JSON object"),
        (write("config.json", b"[" * 200_000), "not JSON"),
        (set_config(model_type=None), "what kind of model"),
        (set_config(model_type="toy"), "'toy'"),
        # Folders of transformers, but no kinds of model.
        (set_config(model_type="auto"), "'auto'"),
        (set_config(model_type="xlm_roberta"), "'xlm_roberta'"),
        (set_config(auto_map={"AutoModel": "x.Y"}), "never run"),
        (remove("tokenizer.json"), "no tokenizer"),
        (remove(WHOLE), "no weights"),
        (pickled, "pytorch_model.bin, a pickle"),
        (twice, "both"),
        (write(WHOLE, b""), "no safetensors file"),
        (write(WHOLE, NOISE), "no safetensors file"),
        (write(WHOLE, pickle.dumps([1.0] * 50)), "no safetensors file"),
        (write(WHOLE, struct.pack("<Q", 2**62) + NOISE), "no safetensors file"),
        (write(WHOLE, struct.pack("<Q", 4) + b"[10]" + NOISE), "no safetensors file"),
        (cut(0.0001), "no safetensors file"),
        (cut(0.5), "cut short"),
        (cut(0.9999), "cut short"),
        (with_header(lambda header: first(header).update(dtype="Q9")), "wrongly"),
        (with_header(lambda header: first(header).update(shape=[1, 1])), "wrongly"),
        (with_header(lambda header: first(header).update(shape=[-1, -1])), "wrongly"),
        (with_header(lambda header: first(header).update(shape=["a"])), "cannot be"),
        (with_header(lambda header: first(header).update(more=1)), "cannot be"),
        (with_header(lambda header: header.pop("model.embed_tokens.weight")), "gaps"),
        (
            with_header(lambda header: header.update(copy=first(header))),
            "overlap",
        ),
    ],
)
def test_damage_is_one_sentence(folder: Path, damage: Damage, match: str) -> None:
    damage(folder)
    refused(folder, match)


def test_what_is_known_without_asking_is_known_to_transformers() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert CONFIG_MAPPING_NAMES.keys() >= USUAL_KINDS


def test_more_bytes_than_the_header_tells_of_are_refused(folder: Path) -> None:
    with (folder / WHOLE).open("ab") as file:
        file.write(NOISE)
    assert "again" in refused(folder, "longer than it should be").hint


def test_a_shard_that_is_missing_or_cut_short_is_named(sound: Path, tmp_path: Path) -> None:
    parts = sharded(sound, tmp_path / "parts")
    last = max(parts.glob("*.safetensors"))
    whole = last.read_bytes()
    last.write_bytes(whole[:-10])
    refused(parts, f"{last.name} is cut short")
    last.unlink()
    refused(parts, f"{last.name} is missing")


def test_an_index_is_held_against_its_shards(sound: Path, tmp_path: Path) -> None:
    parts = sharded(sound, tmp_path / "parts")
    index = json.loads((parts / INDEX).read_text())
    file = next(iter(index["weight_map"].values()))
    for entry, match in (
        ({"extra.weight": file}, "lacks 'extra.weight'"),
        ({"extra.weight": "../../other.safetensors"}, "outside its folder"),
        ({"extra.weight": 7}, "outside its folder"),
    ):
        changed = {**index, "weight_map": {**index["weight_map"], **entry}}
        (parts / INDEX).write_text(json.dumps(changed))
        refused(parts, match)
    (parts / INDEX).write_text(json.dumps({"weight_map": {}}))
    refused(parts, "lists no weights")


def test_a_folder_is_its_own_base(sound: Path, tmp_path: Path) -> None:
    assert open_base(sound, tmp_path / "base") == sound
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (pickle.dumps([1.0] * 50), "pickle"),
        (b"GGUF" + NOISE, "GGUF"),
        (NOISE, "not a GGUF file"),
        (b"", "not a GGUF file"),
    ],
)
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(ModelFileError, match=match) as caught:
        open_base(tmp_path / "model.gguf", tmp_path / "base")
    assert "\n" not in caught.value.message
    assert names(tmp_path) == ["model.gguf"]


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no Hugging Face folder"):
        open_base(tmp_path / "model.gguf", tmp_path / "base")


def test_a_gguf_file_becomes_the_same_model(pair: tuple[Path, Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    original, model = pair
    folder = open_base(model, tmp_path / "base")
    wanted, found = load_file(original / WHOLE), load_file(folder / WHOLE)
    assert found.keys() == wanted.keys()
    assert "lm_head.weight" not in found
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    before, after = (AutoTokenizer.from_pretrained(path) for path in (original, folder))
    assert after.chat_template == before.chat_template
    text = "Can I return the kettle? 退货要几天？ <|im_end|>"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    for mark in ("bos_token", "eos_token", "pad_token"):
        assert getattr(after, mark) == getattr(before, mark)
    for name in ("config.json", "generation_config.json"):
        assert json.loads((folder / name).read_text())["eos_token_id"] == before.eos_token_id


def test_a_quantised_file_becomes_trainable_and_is_read_once(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    small = tmp_path / "small.gguf"
    quantize(pair[1], small, "Q8_0", threads=1)
    folder = open_base(small, tmp_path / "base")
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert {str(weight.dtype) for weight in model.parameters()} == {"torch.float32"}
    before = (folder / WHOLE).stat().st_mtime_ns
    assert open_base(small, tmp_path / "base") == folder
    assert (folder / WHOLE).stat().st_mtime_ns == before
    assert names(tmp_path) == ["base", "small.gguf"]


def test_a_gguf_file_that_transformers_does_not_know_is_one_sentence(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    data = pair[1].read_bytes()
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(data.replace(b"llama", b"lhama"))
    with pytest.raises(ConversionError) as caught:
        open_base(odd, tmp_path / "base")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "base").exists()


def test_a_full_disk_leaves_no_base(pair: tuple[Path, Path], tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from converters.checkpoints import open_base;"
        "from edge_runtime.errors import EdgeRuntimeError\n"
        "try: open_base(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except EdgeRuntimeError as error: print(error.exit_code, error.message)"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    done = subprocess.run(
        [sys.executable, "-c", program, str(pair[1]), str(tmp_path / "base")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert done.stdout[:1] in ("4", "5"), done.stderr
    assert done.stdout.count("\n") == 1
    assert not (tmp_path / "base").exists()
    assert open_base(pair[1], tmp_path / "base") == tmp_path / "base"
