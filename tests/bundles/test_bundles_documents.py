from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.errors import ModelCorruptError

words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)
versions = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(
    lambda numbers: ".".join(map(str, numbers))
)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
components = st.builds(
    Component,
    name=st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True),
    size=st.integers(0, 2**36),
    sha256=hashes,
    format=words,
    licence=st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable()),
)
manifests = st.builds(
    BundleManifest,
    name=words,
    version=versions,
    min_runtime=versions,
    components=st.lists(components, min_size=1, max_size=5, unique_by=lambda c: c.name).map(tuple),
    profiles=st.lists(st.sampled_from(["lite", "standard", "full"]), max_size=3).map(tuple),
    languages=st.lists(st.sampled_from(["zh", "en", "es"]), max_size=3).map(tuple),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
cards = st.builds(
    QualityCard,
    subject=hashes,
    dataset=names,
    metrics=st.dictionaries(names, numbers, max_size=5),
    bars=st.dictionaries(
        names, st.builds(Bar, numbers, st.sampled_from(["at_least", "at_most"])), max_size=5
    ),
)
ONE = BundleManifest("b", "1.0", "0.1.0", (Component("m.gguf", 3, "a" * 64, "gguf", "MIT"),))


@given(manifests)
def test_a_manifest_comes_back_as_it_was(manifest: BundleManifest) -> None:
    again = BundleManifest.from_json(manifest.to_json())
    assert again == manifest
    assert again.digest == manifest.digest


@given(manifests, st.randoms(use_true_random=False))
def test_the_order_of_components_does_not_change_the_hash(
    manifest: BundleManifest, random: object
) -> None:
    shuffled = list(manifest.components)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = BundleManifest(
        manifest.name,
        manifest.version,
        manifest.min_runtime,
        tuple(shuffled),
        manifest.profiles,
        manifest.languages,
    )
    assert other.digest == manifest.digest


@given(cards)
def test_a_card_comes_back_as_it_was(card: QualityCard) -> None:
    assert QualityCard.from_json(card.to_json()) == card


@given(cards)
def test_a_miss_is_a_bar_that_its_metric_does_not_clear(card: QualityCard) -> None:
    missed = {miss.metric for miss in card.misses()}
    for name, bar in card.bars.items():
        value = card.metrics.get(name)
        assert (name in missed) == (value is None or not bar.clears(value))


def test_misses_say_what_was_found_and_what_was_asked() -> None:
    card = QualityCard(
        "0" * 64,
        "massive zh test",
        {"intent_f1": 0.81, "cer": 0.09},
        {"intent_f1": Bar(0.85), "cer": Bar(0.10, "at_most"), "bleu": Bar(0.3)},
    )
    assert [str(miss) for miss in card.misses()] == [
        "bleu is not measured, must be at least 0.3",
        "intent_f1 is 0.81, must be at least 0.85",
    ]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_rubbish_is_refused_in_one_sentence(data: bytes) -> None:
    for read in (BundleManifest.from_json, QualityCard.from_json):
        with pytest.raises(ModelCorruptError) as caught:
            read(data)
        assert "is wrong at" in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"name": "../x"},
        {"version": "one"},
        {"surprise": 1},
        {"components": []},
        {"components": [{"name": "../x", "size": 1, "sha256": "a" * 64}]},
        {"profiles": ["huge"]},
        {"languages": ["x" * 99]},
    ],
)
def test_a_manifest_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    plain = {**json.loads(ONE.to_json()), **change}
    with pytest.raises(ModelCorruptError):
        BundleManifest.from_json(json.dumps(plain).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../x"),
        ("name", "/x"),
        ("size", -1),
        ("size", "3"),
        ("sha256", "A" * 64),
        ("format", ""),
        ("licence", ""),
    ],
)
def test_a_component_out_of_bounds_is_refused(field: str, value: object) -> None:
    plain = json.loads(ONE.to_json())
    plain["components"][0][field] = value
    with pytest.raises(ModelCorruptError, match=f"components.0.{field}"):
        BundleManifest.from_json(json.dumps(plain).encode())


def test_two_components_of_one_name_are_refused() -> None:
    plain = json.loads(ONE.to_json())
    plain["components"] *= 2
    with pytest.raises(ModelCorruptError, match="share a name"):
        BundleManifest.from_json(json.dumps(plain).encode())


def test_a_document_too_large_is_refused_unread() -> None:
    with pytest.raises(ModelCorruptError, match="larger than"):
        BundleManifest.from_json(b" " * (MAX_DOCUMENT_BYTES + 1))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_card_with_a_number_that_is_none_is_refused(number: str) -> None:
    card = QualityCard("0" * 64, "d", {"m": 0.5}, {})
    text = card.to_json().decode().replace("0.5", number)
    with pytest.raises(ModelCorruptError):
        QualityCard.from_json(text.encode())


@pytest.mark.parametrize(
    ("runtime", "needed", "runs"),
    [
        ("0.1.0", "0.1", True),
        ("0.2", "0.10", False),
        ("1.0.0", "0.9.9", True),
        ("0.1.0rc1", "0.1", True),
    ],
)
def test_the_runtime_version_is_compared_by_numbers(runtime: str, needed: str, runs: bool) -> None:
    manifest = BundleManifest("b", "1", needed, ONE.components)
    assert manifest.runs_on(runtime) is runs
