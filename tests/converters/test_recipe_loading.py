"""Recipes: everything wrong is said before anything runs, with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.errors import OptionError
from converters.recipe import load_recipe, schema
from converters.recipe.loading import LoadedRecipe
from converters.recipe.sources import resolve_model, resolve_pack, resolve_path
from edge_runtime.bundles import ModelStore
from edge_runtime.errors import ConfigError, ModelMissingError

HEAD = """
[recipe]
name = "shop"
version = "1.0.0"
pack = "retail"
"""
CHAIN = """
[train]
base = "base"
data = "talk.jsonl"

[merge]

[quantize]
types = ["Q4_K_M", "Q8_0"]

[evaluate]
data = "held.jsonl"
"""
BUNDLED = """
[bundle.profiles]
standard = ["Q4_K_M"]

[bars.Q4_K_M]
mean_kl = 0.05
tokens_per_s = 3
"answer_faithfulness.zh" = 0.5
"""


@pytest.fixture
def load(tmp_path: Path) -> object:
    def load(text: str) -> LoadedRecipe:
        path = tmp_path / "shop.toml"
        path.write_text(text, "utf-8")
        return load_recipe(path)

    return load


def test_a_sound_recipe_is_read_with_its_bars(load: object) -> None:
    recipe = load(HEAD + CHAIN + BUNDLED)  # type: ignore[operator]
    assert recipe.spec.train.rank == 16
    assert recipe.spec.train.modules == ("q_proj", "v_proj")
    assert recipe.bars["Q4_K_M"]["mean_kl"].kind == "at_most"
    assert recipe.bars["Q4_K_M"]["tokens_per_s"].kind == "at_least"
    assert "answer_faithfulness.zh" in recipe.bars["Q4_K_M"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ('data = "talk', 'dta = "talk', 9, "[train] has no key 'dta'. Did you mean 'data'?"),
        ("[quantize]", "[quantise]", 13, "has no table 'quantise'. Did you mean 'quantize'?"),
        ("mean_kl", "mean_k1", 23, "no measure 'mean_k1'. Did you mean 'mean_kl'?"),
        ('version = "1.0.0"\n', "", 2, "[recipe] lacks 'version'"),
        ('"Q8_0"]', '"Q8"]', 14, "'quantize.types.1' is wrong"),
        ('"Q8_0"]', '"Q4_K_M"]', 14, "A type is named twice"),
        ("standard =", "large =", 20, "'bundle.profiles.large' is wrong"),
        ('= ["Q4_K_M"]\n\n[bars', '= ["Q4_0"]\n\n[bars', 20, "makes a card for 'Q4_0'"),
        ('= ["Q4_K_M"]\n\n[bars', '= ["Q8_0"]\n\n[bars', 20, "'Q8_0' has no bars"),
        ("[bars.Q4_K_M]", "[bars.Q4_K]", 22, "no card 'Q4_K'. Did you mean 'Q4_K_M'?"),
        ("[merge]", "", 13, "[quantize] lacks a model"),
        ('data = "held.jsonl"', "", 16, "[evaluate] lacks text to measure on"),
        ('base = "base"', "base = 3", 8, "'train.base' is wrong"),
        ('base = "base"', 'base = "base', 8, "not valid TOML"),
        ("[merge]", "[merge]\n[merge]", 12, "not valid TOML"),
        ('data = "talk.jsonl"', "", 7, "[train] lacks data"),
        ("mean_kl = 0.05", "mean_kl = inf", 23, "is wrong"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    load: object, old: str, new: str, line: int, said: str
) -> None:
    text = HEAD + CHAIN + BUNDLED
    assert old in text
    with pytest.raises(ConfigError) as caught:
        load(text.replace(old, new, 1))  # type: ignore[operator]
    assert said in str(caught.value)
    assert f"shop.toml:{line}:" in str(caught.value)


def test_bars_on_speed_alone_vouch_for_nothing(load: object) -> None:
    text = HEAD + CHAIN + BUNDLED.replace("mean_kl = 0.05", "").replace('"answer', '#"answer')
    with pytest.raises(ConfigError, match="has no bar on quality"):
        load(text)  # type: ignore[operator]


def test_a_recipe_without_stages_is_refused(load: object) -> None:
    with pytest.raises(ConfigError, match="no stages"):
        load(HEAD)  # type: ignore[operator]


@given(text=st.text(max_size=300))
def test_any_text_is_one_sentence(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, "utf-8", errors="replace")
    with pytest.raises(ConfigError):
        load_recipe(path)


def test_a_recipe_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_recipe(tmp_path / "x.toml")


def test_models_are_found_by_path_and_by_id_and_missing_ones_say_how_to_get_them(
    tmp_path: Path,
) -> None:
    store = ModelStore(tmp_path / "models")
    (tmp_path / "mine").mkdir()
    assert resolve_model("mine", tmp_path, store, "train.base") == tmp_path / "mine"
    with pytest.raises(ModelMissingError, match="models pull smollm2-135m-q4_1"):
        resolve_model("smollm2-135m-q4_1", tmp_path, store, "train.base")
    with pytest.raises(OptionError, match="neither a catalogued model nor"):
        resolve_model("smollm", tmp_path, store, "train.base")
    with pytest.raises(OptionError, match="there is no"):
        resolve_path("gone.jsonl", tmp_path, "[train]")
    assert resolve_pack("retail", tmp_path).name == "retail"


def test_the_recipes_that_ship_are_sound() -> None:
    found = sorted((Path(schema.__file__).parents[1] / "recipes").glob("*.toml"))
    assert found
    for path in found:
        assert load_recipe(path).spec.bundle is not None, path
