"""One knowledge file → its passages; for the pack's own files and those a shop adds.

``<stem>.<lang>.md``   front matter (``kind``, ``topic``), ``# Title``, ``## Section {#slug}``;
                       ``> quoted lines`` in a section are questions that it answers.
``products.csv``       one product a row, ``name.<lang>`` and ``description.<lang>`` columns.
any other ``.csv``     ``question``, ``answer`` and, if wanted, ``language``, ``topic``, ``id``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, TypeGuard

from edge_runtime.errors import PackError
from edge_runtime.packs.files import IMAGE_SUFFIXES, read_text, relative_name
from edge_runtime.packs.markdown import parse_page
from edge_runtime.packs.problems import Problems
from edge_runtime.packs.tables import COLUMNS, Row, parse_csv, table_rows
from edge_runtime.turn import Passage, PassageKind

MAX_PASSAGE_CHARS = 4000
MAX_PASSAGES = 50_000
MAX_QUESTIONS = 20
PRODUCTS_FILE = "products.csv"
PRODUCTS_TOPIC = "products"
KNOWLEDGE_SUFFIXES = frozenset({".md", ".csv"})

_FILE_NAME = re.compile(r"^(?P<stem>[\w-]+)(?:\.(?P<language>[a-z]{2,3}))?\.(?:md|csv)$")
_TOPIC = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
_LANGUAGE = re.compile(r"^[a-z]{2,3}$")
_META_KEYS = frozenset({"kind", "topic", "language"})


def read_passages(file: Path, root: Path) -> tuple[Passage, ...]:
    """Every passage of one knowledge file.

    Args:
        file: a Markdown or CSV file.
        root: the pack's folder (or the folder of files a shop added); pictures are looked up
            inside it and named relative to it.

    Raises:
        PackError: the first thing wrong with the file, with its line.
    """
    problems = Problems()
    passages = parse_passages(file, root, problems)
    problems.raise_first()
    return tuple(passage for _, passage in passages)


def parse_passages(file: Path, root: Path, problems: Problems) -> list[tuple[int, Passage]]:
    """Line and passage of everything in ``file``; reports every defect and carries on."""
    name = relative_name(file, root)
    match = _FILE_NAME.match(file.name)
    if match is None:
        problems.report(
            "A knowledge file is called <name>.<language>.md or <name>.csv.",
            file=name,
            hint="Use letters, digits, - and _, for example faq.zh.md.",
        )
        return []
    text = read_text(file, name, problems)
    if text is None:
        return []
    stem, language = match["stem"], match["language"] or ""
    if file.suffix == ".md":
        found = _markdown(text, name, stem, language, root, problems)
    elif file.name == PRODUCTS_FILE:
        found = _products(text, name, root, problems)
    else:
        found = _questions(text, name, stem, language, problems)
    return _bounded(found, name, problems)


def _bounded(
    found: Iterator[tuple[int, Passage]], name: str, problems: Problems
) -> list[tuple[int, Passage]]:
    kept: dict[tuple[str, str], tuple[int, Passage]] = {}
    for line, passage in found:
        key = (passage.id, passage.language)
        if key in kept:
            message = f"The passage '{passage.id}' appears twice in '{passage.language}'."
            hint = "Give one of them another {#slug} or id."
        elif not passage.text:
            message, hint = f"The passage '{passage.id}' has no text.", "Write it or remove it."
        elif len(passage.text) > MAX_PASSAGE_CHARS:
            message = f"The passage '{passage.id}' is longer than {MAX_PASSAGE_CHARS} characters."
            hint = "Split it into several sections."
        elif len(kept) >= MAX_PASSAGES:
            message, hint = f"More than {MAX_PASSAGES:,} passages.", "Split the file."
        else:
            kept[key] = (line, passage)
            continue
        problems.report(message, file=name, line=line, hint=hint)
        if len(kept) >= MAX_PASSAGES:
            break
    if not kept:
        problems.report("The file holds no passage.", file=name, hint="Write some, or remove it.")
    return list(kept.values())


def _markdown(
    text: str, name: str, stem: str, language: str, root: Path, problems: Problems
) -> Iterator[tuple[int, Passage]]:
    page = parse_page(text, name, problems)
    meta = page.meta
    language = language or meta.get("language", "")
    kind, topic = meta.get("kind", "faq"), meta.get("topic", "faq")
    for key in sorted(set(meta) - _META_KEYS):
        problems.report(
            f"Unknown key '{key}'.", file=name, line=1, hint="Known: kind, topic, language."
        )
    if not _head_is_right(kind, topic, language, name, 1, problems) or not is_kind(kind):
        return
    for section in page.sections:
        images = [_picture(source, name, line, root, problems) for source, line in section.images]
        title = " · ".join(part for part in (page.title, section.title) if part)
        yield (
            section.line,
            Passage(
                id=f"{stem}#{section.slug}",
                title=title or stem,
                text=section.text,
                language=language,
                kind=kind,
                topic=topic,
                images=tuple(image for image in images if image),
                file=name,
                questions=tuple(section.questions[:MAX_QUESTIONS]),
            ),
        )


def _products(
    text: str, name: str, root: Path, problems: Problems
) -> Iterator[tuple[int, Passage]]:
    for line, row in table_rows("products", text, name, problems):
        picture = row.get("image", "")
        images = (_picture(picture, name, line, root, problems),) if picture else ()
        for language in product_languages(row):
            description = row.get(f"description.{language}", "")
            title = row[f"name.{language}"]
            specs = row.get("specs", "")
            parts = (f"{title}: {description}" if description else title, specs)
            yield (
                line,
                Passage(
                    id=f"{PRODUCTS_TOPIC}#{row['id']}",
                    title=title,
                    text=" ".join(part for part in parts if part),
                    language=language,
                    kind="product",
                    topic=PRODUCTS_TOPIC,
                    images=tuple(image for image in images if image),
                    file=name,
                ),
            )


def product_languages(row: Row) -> tuple[str, ...]:
    """The languages in which a product has a name."""
    return tuple(
        column.removeprefix("name.")
        for column, cell in row.items()
        if column.startswith("name.") and cell and column not in COLUMNS["products"]
    )


def _questions(
    text: str, name: str, stem: str, language: str, problems: Problems
) -> Iterator[tuple[int, Passage]]:
    for line, row in parse_csv(text, name, ("question", "answer"), problems):
        spoken = row.get("language", "") or language
        topic, kind = row.get("topic", "") or "faq", row.get("kind", "") or "faq"
        if not _head_is_right(kind, topic, spoken, name, line, problems) or not is_kind(kind):
            continue
        digest = hashlib.sha256(row["question"].encode()).hexdigest()[:10]
        yield (
            line,
            Passage(
                id=f"{stem}#{row.get('id', '') or digest}",
                title=row["question"],
                text=row["answer"],
                language=spoken,
                kind=kind,
                topic=topic,
                file=name,
            ),
        )


def _head_is_right(
    kind: str, topic: str, language: str, name: str, line: int, problems: Problems
) -> bool:
    if not is_kind(kind):
        message, hint = f"Unknown kind '{kind}'.", "Known: faq, policy, product, repair."
    elif not _TOPIC.match(topic):
        message, hint = f"'{topic}' is not a topic.", "Use small letters, digits and _."
    elif not _LANGUAGE.match(language):
        message = (
            f"'{language}' is not a language code." if language else "The language is missing."
        )
        hint = "Call the file <name>.<language>.md, or fill in a language such as zh, en or es."
    else:
        return True
    problems.report(message, file=name, line=line, hint=hint)
    return False


def is_kind(kind: str) -> TypeGuard[PassageKind]:
    """Whether ``kind`` is one of the kinds a passage can have."""
    kinds: tuple[Literal["faq", "policy", "product", "repair"], ...]
    kinds = ("faq", "policy", "product", "repair")
    return kind in kinds


def _picture(source: str, name: str, line: int, root: Path, problems: Problems) -> str:
    """The pack-relative path of a picture, or "" after reporting why it cannot be shown."""
    try:
        target = _inside(PurePosixPath(name).parent, source, root)
    except PackError as error:
        problems.report(error.message, file=name, line=line, hint=error.hint)
        return ""
    return target


def _inside(folder: PurePosixPath, source: str, root: Path) -> str:
    if "://" in source or source.startswith(("/", "data:")) or "\\" in source:
        raise PackError(
            f"The picture '{source}' is not a file of the pack.",
            hint="Copy it into images/ and write ../images/<name>.png.",
        )
    resolved = (root / folder / source).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise PackError(
            f"The picture '{source}' lies outside the pack.", hint="Copy it into images/."
        )
    if resolved.suffix.lower() not in IMAGE_SUFFIXES or not resolved.is_file():
        raise PackError(
            f"The picture '{source}' is missing or not a PNG, WebP or JPEG file.",
            hint="Put it into images/, or correct the name.",
        )
    return resolved.relative_to(root.resolve()).as_posix()
