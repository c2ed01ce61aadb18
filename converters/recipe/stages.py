"""A recipe's tables as stages: what each needs from the ones before it, and the function it calls.

What the stages make, in their folders: ``synth/`` labelled lines and conversations; ``train/`` and
``preferences/`` an adapter; ``merge/`` and ``distill/`` a model; ``quantize/`` its formats and the
unquantised ``reference.gguf``; ``evaluate/`` cards and a comparison; ``train-nlu/`` a bundle
folder with its card; ``bundle/`` the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from converters.encoder.settings import METHOD
from converters.encoder.student import ENCODER, shipped_base
from converters.errors import OptionError
from converters.progress import Report
from converters.recipe import steps
from converters.recipe.loading import LoadedRecipe
from converters.recipe.measuring import CARDS
from converters.recipe.plan import Made, Stage
from converters.recipe.schema import NLU, Section
from converters.recipe.sources import resolve_model, resolve_pack, resolve_path
from converters.synth.phrases import PHRASES
from edge_runtime.bundles import ModelStore

Input = Path | Made
Given = TypeVar("Given")

# Raised when a stage would make something else of the same input.
_CODE: Final[Mapping[str, str]] = {
    "synth": "2",
    "train": "1",
    "preferences": "1",
    "merge": "1",
    "distill": "1",
    "quantize": "1",
    "evaluate": "3",
    "student": "4",
    "train-nlu": str(METHOD),
    "bundle": "1",
}
_NAMES: Final = frozenset(
    {"base", "data", "model", "student", "teacher", "text", "paraphraser", "exclude"}
)
_SEEDED: Final = frozenset({"synth", "train", "preferences", "distill", "train-nlu"})


@dataclass(slots=True)
class _Made:
    """Where what the stages so far make can be found by those after them."""

    conversations: Input | None = None
    held_out: Input | None = None
    labelled: Input | None = None
    base: Input | None = None
    adapter: Input | None = None
    model: Input | None = None
    student: Input | None = None
    formats: dict[str, Input] = field(default_factory=dict)


def stages(loaded: LoadedRecipe, store: ModelStore) -> tuple[Stage, ...]:
    """The stages that the recipe asks for, in order.

    Raises:
        OptionError: a file, folder or model that it names is not there.
        ModelError: a catalogued model is missing or damaged; says how to get it.
    """
    return tuple(_Builder(loaded, store).stages())


class _Builder:
    def __init__(self, loaded: LoadedRecipe, store: ModelStore) -> None:
        self._spec = loaded.spec
        self._bars = loaded.bars
        self._home = loaded.home
        self._store = store
        self._head = loaded.spec.recipe
        self._made = _Made()
        named = self._head.pack
        self._pack = resolve_pack(named, self._home) if named else None

    def stages(self) -> Iterator[Stage]:
        spec = self._spec
        tables: tuple[tuple[object, Callable[[], Stage]], ...] = (
            (spec.synth, self._synth),
            (spec.train, self._train),
            (spec.preferences, self._preferences),
            (spec.merge, self._merge),
            (spec.distill, self._distill),
            (spec.quantize, self._quantize),
            (spec.evaluate, self._evaluate),
            (spec.student, self._student),
            (spec.train_nlu, self._train_nlu),
            (spec.bundle, self._bundle),
        )
        for wanted, build in tables:
            if wanted is not None:
                yield build()

    def _synth(self) -> Stage:
        options = _there(self._spec.synth)
        inputs = self._with_pack({"phrases": PHRASES})
        if options.paraphraser:
            inputs["paraphraser"] = self._model(options.paraphraser, "synth.paraphraser")
        for number, named in enumerate(options.exclude):
            found = resolve_path(named, self._home, "synth.exclude")
            inputs[f"{steps.EXCLUDED}{number}"] = found
        self._made.labelled = Made("synth", steps.LINES)
        self._made.conversations = Made("synth", steps.CONVERSATIONS)
        self._made.held_out = Made("synth", steps.HELD_OUT)
        return self._stage("synth", options, inputs, steps.synth(options, self._head))

    def _train(self) -> Stage:
        options = _there(self._spec.train)
        self._made.base = self._model(options.base, "train.base")
        self._made.conversations = self._data(options.data, "train", self._made.conversations)
        inputs = {"base": self._made.base, "data": self._made.conversations}
        self._made.adapter = Made("train", steps.ADAPTER)
        return self._stage("train", options, inputs, steps.train(options, self._head))

    def _preferences(self) -> Stage:
        options = _there(self._spec.preferences)
        inputs: dict[str, Input] = {
            "base": _found(self._made.base),
            "adapter": _found(self._made.adapter),
            "data": self._data(options.data, "preferences", None),
        }
        self._made.adapter = Made("preferences", steps.ADAPTER)
        return self._stage("preferences", options, inputs, steps.preferences(options, self._head))

    def _merge(self) -> Stage:
        options = _there(self._spec.merge)
        inputs: dict[str, Input] = {
            "base": _found(self._made.base),
            "adapter": _found(self._made.adapter),
        }
        self._made.model = Made("merge", steps.MODEL)
        return self._stage("merge", options, inputs, steps.merge(options))

    def _distill(self) -> Stage:
        options = _there(self._spec.distill)
        named = options.teacher
        inputs: dict[str, Input] = {
            "teacher": self._model_or_made(named, "distill.teacher"),
            "student": self._model(options.student, "distill.student"),
            "data": self._data(options.data, "distill", self._made.conversations),
        }
        self._made.model = Made("distill", f"{steps.MODEL}/student")
        return self._stage("distill", options, inputs, steps.distil(options, self._head))

    def _quantize(self) -> Stage:
        options = _there(self._spec.quantize)
        named = options.model
        inputs: dict[str, Input] = {"model": self._model_or_made(named, "quantize.model")}
        if options.reads_text:
            inputs["text"] = self._data(options.text, "quantize", self._made.conversations)
        for kind in options.types:
            self._made.formats[kind] = Made("quantize", steps.format_name(self._head.name, kind))
        return self._stage("quantize", options, inputs, steps.quantize_all(options, self._head))

    def _evaluate(self) -> Stage:
        options = _there(self._spec.evaluate)
        inputs = self._with_pack(
            {
                "reference": Made("quantize", steps.REFERENCE),
                "data": self._data(options.data, "evaluate", self._made.held_out),
                **self._made.formats,
            }
        )
        kinds = tuple(self._made.formats)
        run = steps.evaluate(options, kinds, self._head)
        return self._stage("evaluate", options, inputs, run)

    def _student(self) -> Stage:
        options = _there(self._spec.student)
        inputs: dict[str, Input] = {
            "encoder": self._store.directory(ENCODER),
            "lines": _found(self._made.labelled),
        }
        self._made.student = Made("student", steps.BASE)
        return self._stage("student", options, inputs, steps.make_base(options))

    def _train_nlu(self) -> Stage:
        options = _there(self._spec.train_nlu)
        inputs = self._with_pack(
            {
                "data": self._data(options.data, "train-nlu", self._made.labelled),
                "encoder": self._store.directory(ENCODER),
                "base": self._made.student or shipped_base(),
            }
        )
        return self._stage("train-nlu", options, inputs, steps.learn_nlu(options, self._head))

    def _bundle(self) -> Stage:
        options = _there(self._spec.bundle)
        wanted = {name for names in options.profiles.values() for name in names}
        inputs = self._with_pack({})
        for name in sorted(wanted - {NLU}):
            inputs[f"{name}.card"] = Made("evaluate", f"{CARDS}/{name}.card.json")
            inputs[name] = self._made.formats[name]
        if NLU in wanted:
            inputs[NLU] = Made("train-nlu", steps.NLU_FOLDER)
            if self._made.student:
                inputs["base"] = self._made.student
        bars = {name: dict(self._spec.bars.get(name, {})) for name in sorted(wanted)}
        run = steps.bundle(options, self._head, self._bars)
        more = {"name": self._head.name, "version": self._head.version, "bars": bars}
        return self._stage("bundle", options, inputs, run, more)

    def _stage(
        self,
        name: str,
        options: Section,
        inputs: Mapping[str, Input],
        run: Callable[[Mapping[str, Path], Path, Report], None],
        more: Mapping[str, object] | None = None,
    ) -> Stage:
        # What names an input is not an option: its content counts, not where it lies.
        kept = {
            key: value
            for key, value in options.model_dump(mode="json").items()
            if key not in inputs and key not in _NAMES
        }
        if name in _SEEDED:
            kept["seed"] = self._head.seed
        return Stage(name, _CODE[name], {**kept, **(more or {})}, inputs, run)

    def _with_pack(self, inputs: dict[str, Input]) -> dict[str, Input]:
        return {**inputs, "pack": self._pack} if self._pack else inputs

    def _model(self, named: str, what: str) -> Path:
        return resolve_model(named, self._home, self._store, what)

    def _model_or_made(self, named: str | None, what: str) -> Input:
        return _found(self._made.model) if named is None else self._model(named, what)

    def _data(self, named: str | None, stage: str, otherwise: Input | None) -> Input:
        if named is None:
            return _found(otherwise)
        return resolve_path(named, self._home, f"[{stage}]")


def _there(table: Given | None) -> Given:
    """``table``, which is there: its stage was asked for."""
    if table is None:
        raise OptionError("The recipe has no such table.")
    return table


def _found(value: Input | None) -> Input:
    """``value``, which the checks of the recipe promise."""
    if value is None:
        raise OptionError("The recipe asks for a stage whose input nothing makes.")
    return value
