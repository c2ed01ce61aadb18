"""How many days each role's metadata is valid, and so how long a frozen mirror can go unnoticed."""

from __future__ import annotations

from collections.abc import Mapping

LIFETIMES: Mapping[str, int] = {
    "root": 730,
    "targets": 730,
    "releases": 365,
    "components": 365,
    "snapshot": 30,
    "timestamp": 14,
}
