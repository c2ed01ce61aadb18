"""Markdown as a shop writes it → titled sections of plain text that read well aloud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from edge_runtime.packs.problems import Problems

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---(?:\n|\Z)", re.DOTALL)
_SLUG = re.compile(r"^(.*?)\s*\{#([\w-]{1,80})\}\s*$")
_CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]")


@dataclass(slots=True)
class Section:
    """One ``## Section {#slug}``; ``lines`` become its text, ``images`` are as written, quoted
    lines (``> …``) are ``questions``."""

    title: str
    slug: str
    line: int
    lines: list[str] = field(default_factory=list)
    images: list[tuple[str, int]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole Markdown file: its front matter, its ``# Title`` and its sections."""

    meta: dict[str, str]
    title: str
    sections: tuple[Section, ...]


def parse_page(text: str, file: str, problems: Problems) -> Page:
    """Read one Markdown file; reports front matter or sections that cannot be understood."""
    meta, skipped = _front_matter(text, file, problems)
    body = "\n" * skipped + text.split("\n", skipped)[-1] if skipped else text
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
    title = ""
    current = Section("", "intro", skipped + 1)
    sections = [current]
    tokens = parser.parse(body)
    numbering: list[int] = []
    quoting = 0
    for index, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else current.line
        if token.type in {"blockquote_open", "blockquote_close"}:
            quoting += token.nesting
        elif token.type == "inline" and quoting:
            current.questions += [q for q in map(str.strip, token.content.split("\n")) if q]
        elif token.type == "ordered_list_open":
            numbering.append(int(token.attrGet("start") or 1))
        elif token.type == "bullet_list_open":
            numbering.append(0)
        elif token.type in {"ordered_list_close", "bullet_list_close"}:
            numbering.pop()
        elif token.type == "heading_open" and token.tag in {"h1", "h2"}:
            heading = tokens[index + 1].content.strip()
            if token.tag == "h1":
                title = title or heading
            else:
                current = _section(heading, line)
                sections.append(current)
        elif token.type == "inline" and not _is_title(tokens, index):
            _add_paragraph(current, token, line, _marker(tokens, index, numbering))
            if token.content.startswith("|"):
                problems.report(
                    "Tables do not read well aloud.",
                    file=file,
                    line=line,
                    hint="Write the table as sentences or as a list.",
                )
        elif token.type in {"fence", "code_block"}:
            current.lines += token.content.strip().split("\n")
    return Page(meta, title, tuple(s for s in sections if s.lines or s.images or s.title))


def _front_matter(text: str, file: str, problems: Problems) -> tuple[dict[str, str], int]:
    """``key: value`` lines between two ``---``, and how many lines they take."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, 0
    meta: dict[str, str] = {}
    for number, raw in enumerate(match.group(1).split("\n"), start=2):
        key, colon, value = (part.strip() for part in raw.partition(":"))
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        if not (key and colon and value) or key in meta:
            problems.report(
                "The line is not 'key: value', or repeats a key.",
                file=file,
                line=number,
                hint="Between the two --- lines write, for example,  kind: faq",
            )
            continue
        meta[key] = value.strip("\"'")
    return meta, match.group(0).count("\n")


def _section(heading: str, line: int) -> Section:
    named = _SLUG.match(heading)
    if named:
        return Section(named.group(1), named.group(2), line)
    slug = re.sub(r"[^\w]+", "-", heading.casefold()).strip("-")[:80]
    return Section(heading, slug or f"line-{line}", line)


def _is_title(tokens: Sequence[Token], index: int) -> bool:
    before = tokens[index - 1]
    return before.type == "heading_open" and before.tag in {"h1", "h2"}


def _marker(tokens: Sequence[Token], index: int, numbering: list[int]) -> str:
    """The number before the first paragraph of an item of an ordered list."""
    if index < 2 or tokens[index - 2].type != "list_item_open" or not numbering[-1]:
        return ""
    marker = f"{numbering[-1]}. "
    numbering[-1] += 1
    return marker


def _add_paragraph(section: Section, inline: Token, line: int, marker: str) -> None:
    pieces: list[str] = []
    for child in inline.children or ():
        if child.type == "image":
            section.images.append((str(child.attrGet("src") or ""), line))
        elif child.type in {"softbreak", "hardbreak"}:
            pieces.append("\n")
        elif child.content:
            pieces.append(child.content)
    spoken = _join_lines("".join(pieces))
    if spoken:
        section.lines.append(marker + spoken)


def _join_lines(text: str) -> str:
    """Source lines of one paragraph as one line: Chinese needs no space between, Spanish does."""
    joined = ""
    for part in (piece.strip() for piece in text.split("\n")):
        glue = " " if joined and part and not _CJK.match(joined[-1]) else ""
        joined += glue + part
    return joined.strip()
