"""Reading order of the boxes an engine found: rows, columns, and the page's plain text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from edge_runtime.turn import TextLine

Row = tuple[TextLine, ...]

_ROW_OVERLAP = 0.5
"""Share of the lower box's height that must overlap for two boxes to stand in one row."""
_GUTTER = 1.5
"""Width of an empty vertical strip between columns of prose, in line heights."""
_PROSE_CHARS = 10
"""Mean characters a box above which a column is prose and not a column of a table."""
_PROSE_LINES = 3


def reading_order(lines: Sequence[TextLine]) -> tuple[Row, ...]:
    """Sort boxes into rows, top to bottom, each row left to right.

    Columns of prose (a folded leaflet, two notices side by side) are read one after the other;
    columns of a table or receipt stay together row by row.
    """
    boxes = [line for line in lines if line.text.strip()]
    if not boxes:
        return ()
    columns = _prose_columns(boxes)
    if columns is not None:
        left, right = columns
        return reading_order(left) + reading_order(right)
    return tuple(_rows(boxes))


def page_text(rows: Sequence[Row]) -> str:
    """One line of text a row; boxes of a row are set apart by two spaces."""
    return "\n".join("  ".join(line.text for line in row) for row in rows)


def _rows(boxes: Sequence[TextLine]) -> list[Row]:
    """Chain boxes left to right, so that a slightly rotated page still gives whole rows."""
    chains: list[list[TextLine]] = []
    for line in sorted(boxes, key=lambda line: (line.box[0], line.box[1])):
        chain = max(chains, key=lambda chain: _overlap(chain[-1], line), default=None)
        if chain is not None and _overlap(chain[-1], line) >= _ROW_OVERLAP:
            chain.append(line)
        else:
            chains.append([line])
    return [tuple(chain) for chain in sorted(chains, key=_first_middle)]


def _overlap(before: TextLine, after: TextLine) -> float:
    """Vertical overlap as a share of the lower box; 0 where they overlap sideways."""
    left, top, right, bottom = before.box
    next_left, next_top, _, next_bottom = after.box
    if next_left < left + (right - left) * 0.6:
        return 0.0
    shared = min(bottom, next_bottom) - max(top, next_top)
    return shared / max(1, min(bottom - top, next_bottom - next_top))


def _first_middle(chain: Sequence[TextLine]) -> float:
    return sum(line.box[1] + line.box[3] for line in chain) / (2 * len(chain))


def _prose_columns(
    boxes: Sequence[TextLine],
) -> tuple[list[TextLine], list[TextLine]] | None:
    """Split at the widest empty vertical strip that has prose on both sides, if there is one."""
    height = median(line.box[3] - line.box[1] for line in boxes)
    by_left = sorted(boxes, key=lambda line: line.box[0])
    best: tuple[float, int] | None = None
    reach = by_left[0].box[2]
    for index, line in enumerate(by_left[1:], start=1):
        gap = line.box[0] - reach
        if gap > _GUTTER * height and (best is None or gap > best[0]):
            best = gap, index
        reach = max(reach, line.box[2])
    if best is None:
        return None
    left, right = by_left[: best[1]], by_left[best[1] :]
    return (left, right) if _is_prose(left) and _is_prose(right) else None


def _is_prose(boxes: Sequence[TextLine]) -> bool:
    letters = [sum(char.isalpha() for char in line.text) for line in boxes]
    return len(boxes) >= _PROSE_LINES and sum(letters) / len(boxes) >= _PROSE_CHARS
