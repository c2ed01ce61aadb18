"""What the tables of a recipe lack from one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from converters.dataset import suggestion
from converters.recipe.schema import NLU, Bundle, Recipe

MEASURED_HERE: Final = frozenset(
    {
        "tokens_per_s",
        "prefill_tokens_per_s",
        "first_token_ms",
        "latency_p50_ms",
        "latency_p95_ms",
        "peak_memory_mb",
    }
)
"""Measures that depend on the machine and the moment."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is wrong at ``where``, and what to do."""

    where: tuple[str, ...]
    problem: str
    hint: str


def produced(spec: Recipe) -> tuple[str, ...]:
    """The cards that the recipe's stages make."""
    formats = spec.quantize.types if spec.quantize and spec.evaluate else ()
    return (*formats, NLU) if spec.train_nlu else tuple(formats)


def contradictions(spec: Recipe) -> Iterator[Contradiction]:
    """Everything that would stop the recipe later, in the order of its stages."""
    yield from _missing_inputs(spec)
    if spec.quantize and len(set(spec.quantize.types)) < len(spec.quantize.types):
        yield Contradiction(("quantize", "types"), "A type is named twice.", "Name it once.")
    made = produced(spec)
    for name in spec.bars:
        if name not in made:
            yield Contradiction(("bars", name), f"There is no card '{name}'.", _choose(name, made))
    if spec.bundle:
        yield from _unvouched(spec, spec.bundle, made)


def _missing_inputs(spec: Recipe) -> Iterator[Contradiction]:
    given = {stage for stage, options in spec if options}
    model, text = given & {"merge", "distill"}, given & {"train", "synth"}
    rules: list[tuple[str, object, str, str]] = [
        ("synth", bool(spec.recipe.pack), "a pack to start from", "pack under [recipe]"),
        ("train", _has(spec.train, "data") or spec.synth, "data", "data, or a table [synth]"),
        ("preferences", spec.train, "a tuned model to continue", "a table [train]"),
        ("merge", spec.train, "an adapter to merge", "a table [train]"),
        ("distill", _has(spec.distill, "teacher") or spec.merge, "a teacher", "teacher"),
        ("distill", _has(spec.distill, "data") or text, "prompts", "data"),
        ("quantize", _has(spec.quantize, "model") or model, "a model", "model, or [merge]"),
        ("evaluate", spec.quantize, "formats to measure", "a table [quantize]"),
        ("evaluate", _has(spec.evaluate, "data") or spec.synth, "text to measure on", "data"),
        ("train_nlu", _has(spec.train_nlu, "data") or spec.synth, "data", "data, or [synth]"),
        ("student", spec.synth, "lines to choose its pieces by", "a table [synth]"),
        ("bundle", spec.evaluate or spec.train_nlu, "cards", "[evaluate] or [train-nlu]"),
    ]
    if spec.quantize and spec.quantize.reads_text:
        rules.append(("quantize", spec.quantize.text or text, "text to read", "text"))
    for stage, present, lacking, remedy in rules:
        if stage in given and not present:
            table = stage.replace("_", "-")
            yield Contradiction((table,), f"[{table}] lacks {lacking}.", f"Add {remedy}.")
    if not given - {"recipe", "bars"}:
        yield Contradiction(("recipe",), "The recipe has no stages.", "Add a table like [train].")


def _has(section: object, key: str) -> bool:
    return getattr(section, key, None) is not None


def _unvouched(spec: Recipe, bundle: Bundle, made: tuple[str, ...]) -> Iterator[Contradiction]:
    for profile, parts in bundle.profiles.items():
        where = ("bundle", "profiles", profile)
        for part in parts:
            bars = spec.bars.get(part, {})
            if part not in made:
                problem = f"Nothing makes a card for '{part}'."
                yield Contradiction(where, problem, _choose(part, made))
            elif not bars:
                hint = f"Add a table [bars.{part}]: a bundle needs something to vouch for it."
                yield Contradiction(where, f"'{part}' has no bars.", hint)
            elif bars.keys() <= MEASURED_HERE:
                hint = "Add one: speed and memory are only true of the machine that measured."
                yield Contradiction(("bars", part), f"'{part}' has no bar on quality.", hint)


def _choose(name: str, known: tuple[str, ...]) -> str:
    return suggestion(name, known) if known else "Add [quantize] and [evaluate], or [train-nlu]."
