"""Whole recipes: stages with cached outputs, cards held against bars, bundles by profile."""

from converters.recipe.loading import LoadedRecipe, load_recipe
from converters.recipe.outcome import Outcome, plan_recipe, run_recipe

__all__ = ["LoadedRecipe", "Outcome", "load_recipe", "plan_recipe", "run_recipe"]
