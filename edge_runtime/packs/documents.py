"""TOML and YAML with line numbers: every value of a file knows the line it came from.

YAML is read through a safe loader in which every plain scalar is text (an example utterance
"yes" stays "yes"), and which refuses aliases, tags and keys that appear twice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from edge_runtime.packs.problems import Problems

KeyPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

MAX_NESTING = 12

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed data and where each part of it stands."""

    file: str
    data: Any
    lines: Mapping[KeyPath, int]

    def line(self, *path: str | int) -> int | None:
        """The line of the value at ``path``, or of its nearest parent that has one."""
        for length in range(len(path), 0, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return None


def validate(model: type[Model], document: Document, problems: Problems) -> Model | None:
    """``document`` as ``model``, or ``None`` after reporting each value that does not fit."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            path = detail["loc"]
            name = ".".join(str(part) for part in path) or "the file"
            unknown = detail["type"] == "extra_forbidden"
            problems.report(
                f"Unknown key '{name}'." if unknown else f"'{name}' is wrong: {detail['msg']}.",
                file=document.file,
                line=document.line(*path) or 1,
                hint="Remove it or correct its spelling." if unknown else "Correct the value.",
            )
        return None


# ── YAML ────────────────────────────────────────────────────────────────────────────────────


class _TextLoader(_BaseLoader):  # type: ignore[misc]
    """A safe loader that leaves plain scalars as text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _STRING_TAG
        return str(super().resolve(kind, value, implicit))


class _Refused(Exception):
    def __init__(self, message: str, line: int, hint: str) -> None:
        super().__init__(message)
        self.message, self.line, self.hint = message, line, hint


def parse_yaml(text: str, file: str, problems: Problems) -> Document | None:
    """The YAML document with its lines, or ``None`` after reporting why it cannot be read."""
    lines: dict[KeyPath, int] = {}
    try:
        loader = _TextLoader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        data = None if root is None else _construct(root, (), lines, set())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.report(
            f"This is not valid YAML: {error.problem or error.context}.",
            file=file,
            line=mark.line + 1 if mark else None,
            hint="Check indentation, colons and quotes on this line.",
        )
    except (yaml.YAMLError, RecursionError) as error:
        problems.report(
            f"This is not valid YAML: {str(error).splitlines()[0]}.",
            file=file,
            hint="Save it again as plain UTF-8 text and check its nesting.",
        )
    except _Refused as error:
        problems.report(error.message, file=file, line=error.line, hint=error.hint)
    else:
        return Document(file, data, lines)
    return None


def _construct(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], seen: set[int]) -> Any:
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise _Refused("Aliases (*name) are not allowed.", line, "Write the value out.")
    if len(path) > MAX_NESTING:
        raise _Refused("The file is nested too deeply.", line, "Flatten it.")
    seen.add(id(node))
    lines.setdefault(path, line)
    if isinstance(node, yaml.ScalarNode):
        if node.tag != _STRING_TAG:
            raise _Refused(f"The tag {node.tag} is not allowed.", line, "Remove the tag.")
        return node.value
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_construct(item, (*path, i), lines, seen) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode) or node.tag != "tag:yaml.org,2002:map":
        raise _Refused(f"The tag {node.tag} is not allowed.", line, "Remove the tag.")
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise _Refused("A key must be plain text.", key_line, "Write a plain key.")
        key = key_node.value
        if key in mapping:
            raise _Refused(f"The key '{key}' appears twice.", key_line, "Remove one of them.")
        lines[(*path, key)] = key_line
        mapping[key] = _construct(value_node, (*path, key), lines, seen)
    return mapping


# ── TOML ────────────────────────────────────────────────────────────────────────────────────

_TOML_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_TOML_KEY = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[\w-]+)*)\s*=(.*)$")
_TOML_ERROR_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def parse_toml(text: str, file: str, problems: Problems) -> Document | None:
    """The TOML document with its lines, or ``None`` after reporting why it cannot be read."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        at = _TOML_ERROR_LINE.search(str(error))
        problems.report(
            f"This is not valid TOML: {_TOML_ERROR_LINE.sub('', str(error)).strip()}.",
            file=file,
            line=int(at.group(1)) if at else text.count("\n") + 1,
            hint="Check quotes, brackets and keys that appear twice.",
        )
        return None
    return Document(file, data, _toml_lines(text))


def _toml_lines(text: str) -> dict[KeyPath, int]:
    """Line of every table header and ``key =``; lines inside multi-line strings do not count."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    open_quote = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if open_quote:
            open_quote = "" if open_quote in line else open_quote
            continue
        if header := _TOML_TABLE.match(line):
            table = _toml_key(header.group(2))
            if header.group(1) == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                table = (*table, index)
            lines.setdefault(table, number)
        elif key := _TOML_KEY.match(line):
            lines.setdefault((*table, *_toml_key(key.group(1))), number)
            for quote in ('"""', "'''"):
                if key.group(2).count(quote) == 1:
                    open_quote = quote
    return lines


def _toml_key(dotted: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
