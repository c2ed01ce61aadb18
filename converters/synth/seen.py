"""What has been said already, so that nothing is said twice."""

from __future__ import annotations

from collections import Counter

from converters.synth.likeness import key, near_any, plain


class Seen:
    """Remembers texts; ``dropped`` counts what was refused and why."""

    def __init__(self) -> None:
        self._intents: dict[str, str] = {}
        self.dropped: Counter[str] = Counter()

    def add(self, text: str, intent: str) -> bool:
        """Whether ``text`` is new; one known under another intent is refused as ambiguous."""
        name = key(text)
        if not name:
            self.dropped["empty"] += 1
            return False
        known = self._intents.get(name)
        if known is None:
            self._intents[name] = intent
            return True
        self.dropped["duplicate" if known == intent else "ambiguous"] += 1
        return False

    def near(self, text: str, others: list[str]) -> bool:
        """Whether ``text`` is nearly one of ``others``; if not, it joins them."""
        said = plain(text)
        if near_any(said, others):
            self.dropped["near_duplicate"] += 1
            return True
        others.append(said)
        return False
