"""The ``lexicon/`` folder: how customers say things, and what the shop may not say.

========================  ==========================================================
colloquial.<lang>.tsv     ``as said<TAB>standard form``
categories.<lang>.toml    ``category_id = ["word", …]``
sensitive.<lang>.txt      ``[category]`` sections; ``word | allowed longer word, …``
compliance.<lang>.toml    ``[[rule]]`` tables: id, phrases, action, replacement, reason
hints.<lang>.txt          one word a line that speech recognition should expect
========================  ==========================================================

Lines starting with ``#`` are comments. Product names come from ``products.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_runtime.packs.documents import Document, parse_toml, validate
from edge_runtime.packs.files import PackFolder
from edge_runtime.packs.problems import Problems
from edge_runtime.packs.schema import ComplianceRule, Lexicon, SensitiveWord, Term

MAX_ENTRIES = 50_000
MAX_WORD_CHARS = 100

_SECTION = re.compile(r"^\[([a-z][a-z0-9_]*)\]$")
_NAME = re.compile(r"^lexicon/(colloquial|categories|sensitive|compliance|hints)\.([a-z]{2,3})\.")
_Word = Annotated[str, Field(min_length=1, max_length=MAX_WORD_CHARS)]


class _RuleEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    phrases: Annotated[tuple[_Word, ...], Field(min_length=1)]
    action: Literal["replace", "block"]
    replacement: Annotated[str, Field(max_length=MAX_WORD_CHARS)] = ""
    reason: Annotated[str, Field(max_length=300)] = ""
    allow: tuple[_Word, ...] = ()


class _RulesFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: tuple[_RuleEntry, ...] = ()


def read_lexicon(
    folder: PackFolder, product_terms: tuple[Term, ...], problems: Problems
) -> tuple[Lexicon, dict[str, Document]]:
    """The lexicon, and the category files by language (for checks that need their lines)."""
    colloquial: dict[str, tuple[tuple[str, str], ...]] = {}
    hints: dict[str, tuple[str, ...]] = {}
    sensitive: list[SensitiveWord] = []
    compliance: list[ComplianceRule] = []
    terms: list[Term] = list(product_terms)
    categories: dict[str, Document] = {}
    for name in folder.names:
        match = _NAME.match(name)
        text = folder.text(name) if match else None
        if match is None or text is None:
            continue
        kind, language = match.groups()
        if kind == "colloquial":
            colloquial[language] = _colloquial(text, name, problems)
        elif kind == "hints":
            hints[language] = tuple(dict.fromkeys(word for _, word in _lines(text, name, problems)))
        elif kind == "sensitive":
            sensitive += _sensitive(text, name, language, problems)
        elif kind == "compliance":
            compliance += _compliance(text, name, language, problems)
        elif document := parse_toml(text, name, problems):
            categories[language] = document
            terms += _category_terms(document, language, problems)
    lexicon = Lexicon(colloquial, tuple(terms), tuple(sensitive), tuple(compliance), hints)
    return lexicon, categories


def _lines(text: str, file: str, problems: Problems) -> Iterator[tuple[int, str]]:
    """Numbered lines that say something, bounded in number."""
    entries = 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        entries += 1
        if entries > MAX_ENTRIES:
            problems.report(
                f"The file has more than {MAX_ENTRIES:,} entries.",
                file=file,
                line=number,
                hint="Remove what is not needed.",
            )
            return
        yield number, line


def _colloquial(text: str, file: str, problems: Problems) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, str] = {}
    for number, line in _lines(text, file, problems):
        said, _, standard = (part.strip() for part in line.partition("\t"))
        if not (said and standard) or "\t" in standard:
            problems.report(
                "The line is not 'as said<TAB>standard form'.",
                file=file,
                line=number,
                hint="Put exactly one tab between the two forms.",
            )
        elif pairs.setdefault(said, standard) != standard:
            problems.report(
                f"'{said}' already stands for '{pairs[said]}'.",
                file=file,
                line=number,
                hint="Keep one of the two lines.",
            )
    return tuple(sorted(pairs.items(), key=lambda pair: (-len(pair[0]), pair[0])))


def _sensitive(text: str, file: str, language: str, problems: Problems) -> list[SensitiveWord]:
    words: list[SensitiveWord] = []
    category = ""
    for number, line in _lines(text, file, problems):
        if section := _SECTION.match(line):
            category = section.group(1)
            continue
        word, _, allowed = (part.strip() for part in line.partition("|"))
        allow = tuple(entry.strip() for entry in allowed.split(",") if entry.strip())
        stray = next((entry for entry in allow if word.casefold() not in entry.casefold()), None)
        if not category:
            message, hint = "No [category] comes before this word.", "Add a line such as [insult]."
        elif not word or len(word) > MAX_WORD_CHARS:
            message, hint = "The word is empty or too long.", "Write one word or phrase a line."
        elif stray is not None:
            message = f"The allowed word '{stray}' does not contain '{word}'."
            hint = "An allowed word is a longer, harmless word that contains the sensitive one."
        else:
            words.append(SensitiveWord(word, language, category, allow))
            continue
        problems.report(message, file=file, line=number, hint=hint)
    return words


def _compliance(text: str, file: str, language: str, problems: Problems) -> list[ComplianceRule]:
    document = parse_toml(text, file, problems)
    entries = validate(_RulesFile, document, problems) if document else None
    rules: list[ComplianceRule] = []
    for index, entry in enumerate(entries.rule if entries else ()):
        assert document is not None  # noqa: S101 - entries come from it
        if entry.id in {rule.id for rule in rules}:
            problems.report(
                f"The rule id '{entry.id}' is used twice.",
                file=file,
                line=document.line("rule", index, "id"),
                hint="Give each rule an id of its own.",
            )
        rules.append(ComplianceRule(language=language, **entry.model_dump()))
    return rules


def _category_terms(document: Document, language: str, problems: Problems) -> list[Term]:
    terms: list[Term] = []
    for category, words in document.data.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            problems.report(
                f"The words of '{category}' are not a list of text.",
                file=document.file,
                line=document.line(category),
                hint='Write  category = ["word", "another word"].',
            )
            continue
        terms += [Term(word.strip(), language, "category", category) for word in words]
    return terms
