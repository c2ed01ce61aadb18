"""``edge-convert run``: a whole recipe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.commands.options import Json
from converters.errors import BarsMissedError
from converters.progress import shown
from converters.recipe import Outcome, load_recipe, plan_recipe, run_recipe
from edge_runtime.bundles import ModelStore
from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.config import load_settings


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to make, and how.")],
    work: Annotated[
        Path | None,
        typer.Option("--work", metavar="DIR", help="Where to work; the recipe's name if not said."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Run this and all after it again.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which stages would run, and why.")
    ] = False,
    json: Json = False,
) -> None:
    """Make bundles as a recipe says: each stage whose inputs changed, and nothing twice.

    A killed run continues where it was. Exits with 8 when a quality card misses its bars.

    [bold]Examples[/]

    edge-convert run shop.toml

    edge-convert run shop.toml --dry-run

    edge-convert run shop.toml --work /data/shop --from quantize
    """
    with reported(as_json=json):
        loaded = load_recipe(recipe)
        folder = work or Path(f"{recipe.stem}.work")
        store = ModelStore(load_settings().models_dir)
        if dry_run:
            decisions = plan_recipe(loaded, folder, store, start=start)
            if json:
                facts = [
                    {"stage": d.stage, "action": d.action, "reason": d.reason} for d in decisions
                ]
                print_json({"work": str(folder), "stages": facts})
                return
            for decision in decisions:
                _line(decision.stage, decision.action, decision.reason)
            return
        with shown() as progress:
            made = run_recipe(loaded, folder, store, start=start, progress=progress)
        if json:
            print_json(_facts(made, folder))
        else:
            _tell(made)
    if made.missed:
        raise typer.Exit(BarsMissedError.exit_code)


def _facts(made: Outcome, work: Path) -> dict[str, Any]:
    return {
        "work": str(work),
        "stages": [{**asdict(stage), "folder": str(stage.folder)} for stage in made.stages],
        "cards": [
            {
                "name": verdict.name,
                "path": str(verdict.path),
                "cleared": verdict.cleared,
                "misses": [str(miss) for miss in verdict.misses],
                "metrics": dict(verdict.card.metrics),
            }
            for verdict in made.cards
        ],
        "bundles": [asdict(bundle) for bundle in made.bundles],
        "store": str(made.store) if made.store else None,
    }


def _tell(made: Outcome) -> None:
    for stage in made.stages:
        done = {"keep": "kept", "run": "made", "resume": "made"}[stage.action]
        _line(stage.stage, done, f"{stage.reason} ({stage.seconds:.0f} s)")
    for verdict in made.cards:
        found = "; ".join(map(str, verdict.misses)) or (
            "every bar is cleared" if verdict.card.bars else "no bars were set"
        )
        _line(f"card {verdict.name}", "missed" if verdict.misses else "fine", found)
    for bundle in made.bundles:
        if bundle.refused:
            _line(f"bundle {bundle.profile}", "refused", "; ".join(bundle.refused))
        else:
            size = f"{bundle.components} components, {bundle.size / 1e6:.1f} MB"
            _line(f"bundle {bundle.profile}", "ready", f"{size}, sha256 {bundle.digest}")
    if made.store:
        out.print(f"The bundles are in {made.store}", markup=False, soft_wrap=True)
    if made.cards:
        pages = made.cards[0].path.parent
        out.print(f"The cards, with pages to read, are in {pages}", markup=False, soft_wrap=True)
    if all(stage.action == "keep" for stage in made.stages):
        out.print("Everything was up to date: nothing had to run.", markup=False)


def _line(name: str, what: str, more: str) -> None:
    out.print(f"{name:<20} {what:<8} {more}", markup=False, soft_wrap=True)
