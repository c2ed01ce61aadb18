"""A pack's folder → one checked :class:`~edge_runtime.packs.schema.Pack`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from edge_runtime.errors import PackError
from edge_runtime.packs.checks import (
    INTENTS_FILE,
    MANIFEST_FILE,
    SENTIMENT_FILE,
    Sources,
    check_all,
)
from edge_runtime.packs.documents import Document, Model, parse_toml, parse_yaml, validate
from edge_runtime.packs.files import PackFolder
from edge_runtime.packs.knowledge import KNOWLEDGE_SUFFIXES, parse_passages, product_languages
from edge_runtime.packs.lexicon import read_lexicon
from edge_runtime.packs.manifest import IntentsFile, Manifest, SentimentFile
from edge_runtime.packs.problems import Problems
from edge_runtime.packs.replies import read_replies
from edge_runtime.packs.schema import Pack, Term
from edge_runtime.packs.tables import COLUMNS, Row, table_rows
from edge_runtime.turn import Passage

ALIAS_SEPARATOR = "|"

_KNOWN_FILES = re.compile(
    r"^(?:pack\.toml|intents\.yaml|sentiment\.yaml|replies\.[a-z]{2,3}\.toml"
    r"|knowledge/[^/]+\.(?:md|csv)"
    r"|lexicon/(?:colloquial\.[a-z]{2,3}\.tsv|(?:sensitive|hints)\.[a-z]{2,3}\.txt"
    r"|(?:compliance|categories)\.[a-z]{2,3}\.toml)"
    r"|data/(?:orders|customers|products|stores)\.csv"
    r"|images/(?:[^/]+/)*[^/]+\.(?:png|webp|jpe?g)"
    r"|(?:[^/]+/)*(?:README|LICENSE|NOTICE|CHANGELOG)(?:\.[^/]*)?)$",
    re.IGNORECASE,
)


def load_pack(path: Path) -> Pack:
    """Read and check a pack.

    Raises:
        PackError: the first defect found, with its file and line; ``check_pack`` lists them all.
    """
    problems = Problems()
    pack = _read(path, problems)
    problems.raise_first()
    if pack is None:
        raise PackError("The pack cannot be read.", file=str(path), hint="Check the folder.")
    return pack


def check_pack(path: Path) -> list[PackError]:
    """Everything wrong with a pack, in the order of its files; empty when it is sound."""
    problems = Problems()
    _read(path, problems)
    return list(problems.found)


def pack_digest(pack: Pack) -> str:
    """SHA-256 (hex) over the names and contents of the pack's files.

    Raises:
        PackError: a file vanished or cannot be read.
    """
    problems = Problems()
    folder = PackFolder(pack.root, problems)
    problems.raise_first()
    total = hashlib.sha256()
    for name in folder.names:
        try:
            content = hashlib.sha256(folder.path(name).read_bytes()).hexdigest()
        except OSError as error:
            raise PackError(
                f"The file cannot be read: {error.strerror}.", file=name, hint="Check the folder."
            ) from error
        total.update(f"{content}  {name}\n".encode())
    return total.hexdigest()


def _read(path: Path, problems: Problems) -> Pack | None:
    folder = PackFolder(path, problems)
    if not folder.names:
        if not problems.found:
            problems.report(
                "The folder is empty.", file=str(path), hint="A pack has at least a pack.toml."
            )
        return None
    _refuse_unknown_files(folder, problems)
    manifest, manifest_lines = _document(folder, MANIFEST_FILE, Manifest, problems)
    intents, intents_lines = _document(folder, INTENTS_FILE, IntentsFile, problems)
    sentiment = None
    if folder.has(SENTIMENT_FILE):
        sentiment, _ = _document(folder, SENTIMENT_FILE, SentimentFile, problems)
    replies = read_replies(folder, problems)
    knowledge = _knowledge_files(folder)
    passages = _passages(folder, knowledge, problems)
    tables = _tables(folder, problems)
    terms = product_terms(tables["products"][1]) if "products" in tables else ()
    lexicon, categories = read_lexicon(folder, terms, problems)
    if manifest is None or intents is None or manifest_lines is None or intents_lines is None:
        return None
    sources = Sources(
        manifest=manifest,
        manifest_lines=manifest_lines,
        intents=intents,
        intents_lines=intents_lines,
        replies=replies,
        categories=categories,
        passages=passages,
        tables=tables,
    )
    check_all(sources, problems)
    return Pack(
        name=manifest.name,
        version=manifest.version,
        root=path,
        languages=manifest.languages,
        default_language=manifest.default_language,
        persona=manifest.to_persona(),
        escalation=manifest.to_escalation(),
        vip=manifest.to_vip(),
        intents={name: entry.to_intent(name) for name, entry in intents.intents.items()},
        out_of_scope=intents.out_of_scope,
        replies={language: document.data for language, document in replies.items()},
        lexicon=lexicon,
        policies=manifest.to_policies(),
        http_skills=manifest.to_http_skills(),
        knowledge_files=tuple(folder.path(name) for name in knowledge),
        sentiment=sentiment.to_mapping() if sentiment else {},
        tables={table: folder.path(name) for table, (name, _) in tables.items()},
        categories=tuple(categories[manifest.default_language].data)
        if manifest.default_language in categories
        else (),
        kiosk=manifest.to_kiosk(),
    )


def _refuse_unknown_files(folder: PackFolder, problems: Problems) -> None:
    for name in folder.names:
        if not _KNOWN_FILES.match(name):
            problems.report(
                "A pack has no file of this name.",
                file=name,
                hint="Correct its name, or remove it (README and LICENSE files are welcome).",
            )


def _document(
    folder: PackFolder, name: str, model: type[Model], problems: Problems
) -> tuple[Model | None, Document | None]:
    if not folder.has(name):
        problems.report("The file is missing.", file=name, hint="Every pack needs it.")
        return None, None
    text = folder.text(name)
    if text is None:
        return None, None
    parse = parse_toml if name.endswith(".toml") else parse_yaml
    document = parse(text, name, problems)
    return (validate(model, document, problems), document) if document else (None, None)


def _knowledge_files(folder: PackFolder) -> list[str]:
    return [
        name
        for name in folder.names
        if name.startswith("knowledge/")
        and Path(name).suffix in KNOWLEDGE_SUFFIXES
        and Path(name).stem.upper() != "README"
    ]


def _passages(
    folder: PackFolder, names: list[str], problems: Problems
) -> tuple[tuple[int, Passage], ...]:
    passages: list[tuple[int, Passage]] = []
    for name in names:
        passages += parse_passages(folder.path(name), folder.root, problems)
    return tuple(passages)


def _tables(folder: PackFolder, problems: Problems) -> dict[str, tuple[str, list[tuple[int, Row]]]]:
    tables: dict[str, tuple[str, list[tuple[int, Row]]]] = {}
    for table in COLUMNS:
        names = [f"{place}/{table}.csv" for place in ("knowledge", "data")]
        present = [name for name in names if folder.has(name)]
        if len(present) == 2:
            problems.report(
                f"There are two product tables, {present[0]} and {present[1]}.",
                file=present[1],
                hint="Keep one of them.",
            )
        text = folder.text(present[0]) if present else None
        if text is not None:
            # Knowledge tables were checked while their passages were read.
            seen = Problems() if present[0].startswith("knowledge/") else problems
            tables[table] = (present[0], table_rows(table, text, present[0], seen))
    return tables


def product_terms(rows: list[tuple[int, Row]]) -> tuple[Term, ...]:
    """Names and aliases (``aliases.<lang>``, separated by ``|``) of every product."""
    terms: dict[Term, None] = {}
    for _, row in rows:
        for language in product_languages(row):
            aliases = row.get(f"aliases.{language}", "").split(ALIAS_SEPARATOR)
            for text in (row[f"name.{language}"], *aliases):
                if text.strip():
                    terms[Term(text.strip(), language, "product", row["id"])] = None
    return tuple(terms)
