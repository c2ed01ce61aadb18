"""Phrases a shop may not say: absolute claims, medical claims, promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edge_runtime.guard.matcher import Pattern
from edge_runtime.packs.schema import ComplianceRule


def compliance_patterns(rules: Iterable[ComplianceRule]) -> Iterator[Pattern]:
    """Patterns for ``rules``, labelled with each rule's id."""
    for rule in rules:
        for phrase in rule.phrases:
            yield Pattern(phrase, rule.id, rule.action, rule.replacement)
        for harmless in rule.allow:
            yield Pattern(harmless, "", "allow")
