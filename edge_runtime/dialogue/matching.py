"""Finding orders, people and products by what was said, which is rarely what is on file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from rapidfuzz import fuzz, process, utils

MIN_SCORE = 75.0
MAX_QUERY_CHARS = 200
MIN_ORDER_DIGITS = 4
MIN_PHONE_DIGITS = 7

_SPOKEN_DIGITS = str.maketrans("零〇一二三四五六七八九幺", "001234567891")
_MISREAD = str.maketrans("OILSBZ", "011582")
_COUNTRY_DIGITS = 11


def order_key(text: str) -> str:
    """An order number without case, spaces and punctuation; letters and digits that speech
    recognition, handwriting and OCR confuse (O and 0, I and 1) are made the same."""
    folded = unicodedata.normalize("NFKC", text[:MAX_QUERY_CHARS]).upper().translate(_SPOKEN_DIGITS)
    return re.sub(r"[^A-Z0-9]", "", folded).translate(_MISREAD)


def order_digits(text: str) -> str:
    """The digits of an order number, empty when they are too few to name one."""
    folded = unicodedata.normalize("NFKC", text[:MAX_QUERY_CHARS]).translate(_SPOKEN_DIGITS)
    digits = re.sub(r"[^0-9]", "", folded)
    return digits if len(digits) >= MIN_ORDER_DIGITS else ""


def phone_key(text: str) -> str:
    """A phone number's digits without the country's code, empty when it is not one."""
    folded = unicodedata.normalize("NFKC", text[:MAX_QUERY_CHARS])
    digits = re.sub(r"[^0-9]", "", folded)
    return digits[-_COUNTRY_DIGITS:] if len(digits) >= MIN_PHONE_DIGITS else ""


class ProductIndex:
    """Approximate search over products' names (RapidFuzz weighted ratio, 0-100)."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        pairs = [(name, product) for product, known in names.items() for name in known if name]
        self._names = [utils.default_process(name) for name, _ in pairs]
        self._products = [product for _, product in pairs]

    def search(self, query: str, limit: int) -> tuple[str, ...]:
        """Ids of the products that fit well enough, best first."""
        wanted = utils.default_process(query[:MAX_QUERY_CHARS])
        if not wanted:
            return ()
        # Several names of one product may fit, so look a little further than asked.
        hits = process.extract(
            wanted, self._names, scorer=fuzz.WRatio, score_cutoff=MIN_SCORE, limit=8 * limit
        )
        found = dict.fromkeys(self._products[index] for _, _, index in hits)
        return tuple(found)[:limit]
