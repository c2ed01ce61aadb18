"""A recipe from start to end: its stages, the verdict on its cards, and its bundles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.progress import Report, silent
from converters.recipe import steps
from converters.recipe.bundling import STORE, Made, read_made
from converters.recipe.cards import Verdict, judge
from converters.recipe.contradictions import produced
from converters.recipe.loading import LoadedRecipe
from converters.recipe.measuring import CARDS
from converters.recipe.plan import Decision
from converters.recipe.run import StageRun, plan, run
from converters.recipe.schema import NLU
from converters.recipe.stages import stages
from edge_runtime.bundles import ModelStore


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each stage, each card and each profile's bundle; ``store`` holds them."""

    stages: tuple[StageRun, ...]
    cards: tuple[Verdict, ...]
    bundles: tuple[Made, ...]
    store: Path | None

    @property
    def missed(self) -> bool:
        """Whether a card misses its bars."""
        return any(card.misses for card in self.cards)


def plan_recipe(
    recipe: LoadedRecipe, work: Path, store: ModelStore, *, start: str | None = None
) -> tuple[Decision, ...]:
    """Which stages a run in ``work`` would run, and why; changes nothing.

    Raises:
        OptionError: something the recipe names is not there, or it has no stage ``start``.
        ModelError: a catalogued model is missing or damaged.
        StorageError: an input or output cannot be read.
    """
    return plan(stages(recipe, store), work, start=start)


def run_recipe(
    recipe: LoadedRecipe,
    work: Path,
    store: ModelStore,
    *,
    start: str | None = None,
    progress: Report = silent,
) -> Outcome:
    """Bring everything the recipe makes in ``work`` up to date.

    A missed bar is no error here: the bundle is not made and :attr:`Outcome.missed` says so.

    Args:
        recipe: what to make.
        work: a folder for it, which need not exist; one run at a time.
        store: where catalogued models are.
        start: run this stage and all after it again.
        progress: told how far all the stages are.

    Raises:
        OptionError: something the recipe names is not there, there is no stage ``start``, or
            another run is at work.
        ModelError: a catalogued model is missing or damaged.
        EdgeRuntimeError: a stage failed; what is finished is kept.
    """
    done = run(stages(recipe, store), work, start=start, progress=progress)
    cards = judge(_measured(recipe, work), recipe.bars, work / CARDS)
    bundled = work / "bundle"
    if recipe.spec.bundle is None:
        return Outcome(done, cards, (), None)
    return Outcome(done, cards, read_made(bundled), bundled / STORE)


def _measured(recipe: LoadedRecipe, work: Path) -> dict[str, Path]:
    """Where the stages left the cards they measured."""
    return {
        name: work / "train-nlu" / steps.NLU_FOLDER / "card.json"
        if name == NLU
        else work / "evaluate" / CARDS / f"{name}.card.json"
        for name in produced(recipe.spec)
    }
