"""Pages for people: Markdown, and the same as one HTML file with its plots inside."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_runtime.errors import StorageError
from edge_runtime.files import write_atomic

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "td,th{border:1px solid #8886;padding:.25rem .5rem;text-align:left}"
    "svg{max-width:100%;height:auto;background:#fff}"
)


def write_pages(path: Path, markdown: str, figures: Sequence[str] = ()) -> None:
    """Write ``path`` with the suffixes ``.md`` and ``.html``; ``figures`` are SVG texts.

    Raises:
        StorageError: they cannot be written.
    """
    try:
        write_atomic(path.with_suffix(".md"), markdown.encode())
        write_atomic(path.with_suffix(".html"), as_html(markdown, figures).encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error


def as_html(markdown: str, figures: Sequence[str]) -> str:
    """One self-contained document; HTML in the Markdown stays text."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    title = html.escape(markdown.partition("\n")[0].lstrip("# "))
    drawn = "".join(f"<figure>{figure}</figure>" for figure in figures)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style>{body}{drawn}</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> list[str]:
    """Lines of a Markdown table; the first column is text, the others are ``numbers`` or text."""
    lines = [_line(head), _line(["---", *["---:" if numbers else "---"] * (len(head) - 1)])]
    return lines + [_line([escaped(cell) for cell in row]) for row in rows]


def escaped(text: str) -> str:
    """Text that stays in its table cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
