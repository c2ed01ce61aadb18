"""Filling reply templates: text in, text out, whatever the values are."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIELD = re.compile(r"\{(\w+)\}")
MAX_VALUE_CHARS = 1200


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with each ``{name}`` replaced by its value in one pass.

    A value is pasted, never interpreted, so braces in it stay braces; a field without a value
    becomes empty; attributes, indexes and formats are not fields.
    """
    filled = _FIELD.sub(lambda match: values.get(match.group(1), "")[:MAX_VALUE_CHARS], template)
    return re.sub(r"[ \t]{2,}", " ", filled).strip()
