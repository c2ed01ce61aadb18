"""One sentence for a setting that is out of its range."""

from __future__ import annotations

from collections.abc import Mapping

from converters.errors import OptionError

Ranges = Mapping[str, tuple[float, float]]


def check_ranges(settings: object, ranges: Ranges) -> None:
    """Hold the attributes of ``settings`` against what they may be, ends included.

    Raises:
        OptionError: one is out of its range.
    """
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise OptionError(f"'{name}' is {value}, must lie between {low} and {high}.")
