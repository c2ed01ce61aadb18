"""Reads a recipe and holds it against everything that can be known before a stage runs."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from converters.dataset import suggestion
from converters.errors import OptionError
from converters.evaluate.cards import parse_bars
from converters.recipe.contradictions import contradictions
from converters.recipe.schema import Recipe
from edge_runtime.bundles.card import Bar
from edge_runtime.errors import ConfigError, PackError
from edge_runtime.packs.documents import Document, parse_toml
from edge_runtime.packs.problems import Problems

_MAX_BYTES: Final = 2**18


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe that holds together; paths in it are read from ``home``."""

    spec: Recipe
    home: Path
    bars: Mapping[str, Mapping[str, Bar]]


def load_recipe(path: Path) -> LoadedRecipe:
    """Read ``path``.

    Raises:
        ConfigError: it cannot be read or something in it is wrong; names file, line, key and,
            for a key that does not exist, the likeliest that does.
    """
    document = _document(path)
    try:
        # Through JSON, whose strict mode takes lists for tuples.
        spec = Recipe.model_validate_json(json.dumps(document.data, default=str), strict=True)
    except ValidationError as error:
        raise _explained(error, document) from error
    for found in contradictions(spec):
        raise _wrong(document, found.where, found.problem, found.hint)
    return LoadedRecipe(spec, path.resolve().parent, dict(_bars(spec, document)))


def _document(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise ConfigError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The recipe {path} is not UTF-8 text.") from error
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"The recipe {path} is longer than {_MAX_BYTES} bytes.")
    problems = Problems()
    document = parse_toml(text, str(path), problems)
    try:
        problems.raise_first()
    except PackError as error:
        raise ConfigError(error.message, hint=error.hint) from error
    if document is None:
        raise ConfigError(f"The recipe {path} cannot be read.")
    return document


def _explained(error: ValidationError, document: Document) -> ConfigError:
    """The first thing that is wrong, unknown keys before all else: they explain missing ones."""
    details = error.errors(include_url=False, include_context=False)
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    kind, where = details[0]["type"], details[0]["loc"]
    table = ".".join(str(part) for part in where[:-1])
    place = f"[{table}]" if table else "The recipe"
    if kind == "extra_forbidden":
        hint = suggestion(str(where[-1]), _known_keys(where[:-1]))
        noun = "key" if table else "table"
        return _wrong(document, where, f"{place} has no {noun} '{where[-1]}'.", hint)
    if kind == "missing":
        return _wrong(document, where, f"{place} lacks '{where[-1]}'.", "Add it.")
    given = repr(details[0]["input"])[:60]
    name = ".".join(str(part) for part in where if part != "[key]")
    return _wrong(
        document, where, f"'{name}' is wrong: {details[0]['msg']} (got {given}).", "Correct it."
    )


def _known_keys(where: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in where:
        found = [f for n, f in model.model_fields.items() if part in (n, f.alias)]
        inner = [_model_of(field.annotation) for field in found]
        if not inner or inner[0] is None:
            return []
        model = inner[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in (Union, types.UnionType):
        found = [_model_of(inner) for inner in get_args(annotation)]
        return next((model for model in found if model), None)
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )


def _bars(spec: Recipe, document: Document) -> Iterator[tuple[str, Mapping[str, Bar]]]:
    for card, limits in spec.bars.items():
        found: dict[str, Bar] = {}
        for name, limit in limits.items():
            try:
                found |= parse_bars([f"{name}={Decimal(str(limit)):f}"])
            except OptionError as error:
                raise _wrong(document, ("bars", card, name), error.message, error.hint) from error
        yield card, found


def _wrong(
    document: Document, where: tuple[int | str, ...], problem: str, hint: str
) -> ConfigError:
    line = document.line(*where) or 1
    return ConfigError(f"{document.file}:{line}: {problem}", hint=hint)
