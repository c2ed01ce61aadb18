"""What a bundle holds: the list of components that a device installs together."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge_runtime.bundles.documents import Digest, Strict, canonical_json, read_document
from edge_runtime.bundles.names import safe_name

_MAX_FILE_BYTES = 64 * 2**30
_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
_Version = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$")]
_Line = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Component:
    """One file of a bundle; ``name`` is its path there, ``size`` its bytes.

    ``format`` is the file format that decides which engine reads it ("gguf", "onnx", …).
    """

    name: str
    size: int
    sha256: str
    format: str
    licence: str


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """A bundle: components that were evaluated together and are installed together.

    ``min_runtime`` is the oldest edge-runtime version that can run it ("0.1.0"). Empty
    ``profiles`` or ``languages`` mean all. Components are kept sorted by name, so that a bundle
    has one form and one hash.
    """

    name: str
    version: str
    min_runtime: str
    components: tuple[Component, ...]
    profiles: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.components, key=lambda component: component.name))
        object.__setattr__(self, "components", ordered)

    @property
    def size(self) -> int:
        return sum(component.size for component in self.components)

    @property
    def digest(self) -> str:
        """Hex sha256 of :meth:`to_json`: the bundle's identity."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"schema": 1, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> BundleManifest:
        """Read a manifest that anybody may have written.

        Raises:
            ModelCorruptError: too large, not JSON, or a field is missing, unknown or out of bounds.
        """
        document = read_document(_Manifest, data, "bundle manifest")
        fields = document.model_dump(exclude={"schema_", "components"})
        components = tuple(Component(**c.model_dump()) for c in document.components)
        return cls(**fields, components=components)

    def runs_on(self, runtime_version: str) -> bool:
        """Whether a device with this edge-runtime version ("0.2.1") is new enough."""
        return _numbers(runtime_version) >= _numbers(self.min_runtime)


class _Component(Strict):
    name: str
    size: int = Field(ge=0, le=_MAX_FILE_BYTES)
    sha256: Digest
    format: _Word
    licence: _Line

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not safe_name(name):
            raise ValueError("unsafe file name")
        return name


class _Manifest(Strict):
    schema_: Literal[1] = Field(alias="schema")
    name: _Word
    version: _Version
    min_runtime: _Version
    components: tuple[_Component, ...] = Field(min_length=1, max_length=10_000)
    profiles: tuple[Literal["lite", "standard", "full"], ...]
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(max_length=200)

    @field_validator("components")
    @classmethod
    def _distinct(cls, components: tuple[_Component, ...]) -> tuple[_Component, ...]:
        if len({component.name for component in components}) != len(components):
            raise ValueError("two components share a name")
        return components


def _numbers(version: str) -> tuple[int, ...]:
    # 0.1 and 0.1.0 are the same version; whatever follows the numbers (rc1, .dev2) is ignored.
    numbers = [int(n) for n in re.match(r"[0-9.]*", version)[0].split(".") if n]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
