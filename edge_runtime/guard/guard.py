"""Everything said or shown passes here, as a stream, before it is released."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.guard.claims import ClaimStream, Evidence
from edge_runtime.guard.compliance import compliance_patterns
from edge_runtime.guard.matcher import Matcher, MatchStream, harmful
from edge_runtime.guard.privacy import PrivacyStream
from edge_runtime.guard.words import builtin_patterns, sensitive_patterns
from edge_runtime.packs.schema import Lexicon

_SENSITIVE = "sensitive:"


class GuardStream:
    """One reply on its way out: claims, then personal data, then words and phrases.

    The text released does not depend on how the reply is cut into deltas.
    """

    def __init__(self, claims: ClaimStream | None, privacy: PrivacyStream, words: MatchStream):
        self._claims = claims
        self._privacy = privacy
        self._words = words
        self._closed = False

    @property
    def blocked(self) -> tuple[str, ...]:
        """What fired: compliance rule ids, ``sensitive:…``, ``privacy:…``, ``claim:…``."""
        claim = (self._claims.fired,) if self._claims and self._claims.fired else ()
        return (*claim, *self._privacy.fired, *self._words.fired)

    @property
    def stopped(self) -> bool:
        """The rest must not be said; the caller says its safe fallback instead."""
        return self._words.stopped or bool(self._claims and self._claims.fired)

    def feed(self, delta: str) -> str:
        """Take a piece of the draft; return what may be shown and spoken now, often nothing."""
        if self._closed:
            return ""
        judged = self._claims.feed(delta) if self._claims else delta
        return self._pass_on(judged)

    def finish(self) -> str:
        """The draft is complete: return what was held back."""
        if self._closed:
            return ""
        released = self._pass_on(self._claims.finish()) if self._claims else ""
        if not self._closed:
            released += self._flush()
        return released

    def stop(self) -> None:
        """The draft broke off: what is held back is never released."""
        self._closed = True

    def _pass_on(self, judged: str) -> str:
        released = self._words.feed(self._privacy.feed(judged))
        if self.stopped:
            released += self._flush()
        return released

    def _flush(self) -> str:
        self._closed = True
        return self._words.feed(self._privacy.finish()) + self._words.finish()


class Guard:
    """Checks what customers say and what the assistant is about to say.

    Args:
        lexicon: the pack's sensitive words and compliance rules; a base list is built in.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        words = [*builtin_patterns(), *sensitive_patterns(lexicon.sensitive)]
        self._words = Matcher(words)
        self._all = Matcher([*words, *compliance_patterns(lexicon.compliance)])

    def check_input(self, text: str) -> tuple[str, ...]:
        """Categories of sensitive words in what the customer said, each once."""
        labels = (match.pattern.label for match in harmful(self._words.find(text)))
        return tuple(dict.fromkeys(label.removeprefix(_SENSITIVE) for label in labels))

    def open(
        self,
        *,
        language: str,
        allowed: Sequence[str],
        evidence: Sequence[str] | None,
    ) -> GuardStream:
        """A stream for one reply.

        Args:
            language: of the reply (ISO 639-1).
            allowed: texts whose personal data and numbers may be repeated: the customer's own
                words, what a skill returned for this verified customer.
            evidence: passages that the draft must keep to; ``None`` for deterministic replies,
                whose claims need no check.
        """
        claims = None
        if evidence is not None:
            sources = [text for text in evidence if text not in allowed]
            claims = ClaimStream(Evidence(sources, allowed))
        return GuardStream(
            claims,
            PrivacyStream([*allowed, *(evidence or ())]),
            MatchStream(self._all),
        )
