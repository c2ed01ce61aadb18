"""Quality cards: what a model measured, on which data, and the bars it must clear to ship."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field

from edge_runtime.bundles.documents import Digest, Strict, canonical_json, read_document

_Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Bar:
    """The value a metric may not fall below (``at_least``) or rise above (``at_most``)."""

    limit: float
    kind: Literal["at_least", "at_most"] = "at_least"

    def clears(self, value: float) -> bool:
        return value >= self.limit if self.kind == "at_least" else value <= self.limit


@dataclass(frozen=True, slots=True)
class Miss:
    """A bar that was not cleared; ``value`` is ``None`` where nothing was measured."""

    metric: str
    bar: Bar
    value: float | None

    def __str__(self) -> str:
        found = "not measured" if self.value is None else f"{self.value:g}"
        bound = self.bar.kind.replace("_", " ")
        return f"{self.metric} is {found}, must be {bound} {self.bar.limit:g}"


@dataclass(frozen=True, slots=True)
class QualityCard:
    """Measured quality of one model.

    ``subject`` is the sha256 of what was measured (a file or a bundle manifest), so that a card
    cannot be moved to another model; ``dataset`` names the data and its split.
    """

    subject: str
    dataset: str
    metrics: Mapping[str, float]
    bars: Mapping[str, Bar]

    def misses(self) -> tuple[Miss, ...]:
        """Bars that are not cleared, by metric name; a metric never measured misses its bar."""
        found = ((name, bar, self.metrics.get(name)) for name, bar in sorted(self.bars.items()))
        return tuple(
            Miss(name, bar, value)
            for name, bar, value in found
            if value is None or not bar.clears(value)
        )

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"schema": 1, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> QualityCard:
        """Read a card that anybody may have written.

        Raises:
            ModelCorruptError: too large, not JSON, or a field is missing, unknown or out of bounds.
        """
        document = read_document(_Card, data, "quality card")
        bars = {name: Bar(bar.limit, bar.kind) for name, bar in document.bars.items()}
        return cls(document.subject, document.dataset, dict(document.metrics), bars)


class _Bar(Strict):
    limit: float
    kind: Literal["at_least", "at_most"]


class _Card(Strict):
    schema_: Literal[1] = Field(alias="schema")
    subject: Digest
    dataset: _Name
    metrics: dict[_Name, float] = Field(max_length=1000)
    bars: dict[_Name, _Bar] = Field(max_length=1000)
