"""The signed decision to run a bundle, and where things lie in the repository.

::

    bundles/<name>/<version>.json     the bundle's manifest
    releases/<name>/<version>.json    the decision to run that version, or ``latest.json``
    components/<sha256>               one component's bytes
    deltas/<base>-<target>            how to make one component out of another
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field

from edge_runtime.bundles.documents import Digest, Strict, canonical_json, read_document
from edge_runtime.bundles.manifest import BundleManifest

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Release:
    """A decision that devices run ``bundle`` at ``version``.

    ``manifest`` is the sha256 of the bundle's manifest. ``decision`` counts up with every decision
    about this bundle: a device follows only decisions newer than the one it runs by, so an older
    version comes back by a new decision and in no other way.
    """

    bundle: str
    version: str
    manifest: str
    decision: int

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"schema": 1, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> Release:
        """Read a release that anybody may have written.

        Raises:
            ModelCorruptError: too large, not JSON, or a field is missing, unknown or out of bounds.
        """
        document = read_document(_Release, data, "release")
        return cls(**document.model_dump(exclude={"schema_"}))


class _Release(Strict):
    schema_: Literal[1] = Field(alias="schema")
    bundle: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$")]
    manifest: Digest
    decision: int = Field(ge=1, le=2**53)


def manifest_path(name: str, version: str) -> str:
    return f"bundles/{name}/{version}.json"


def release_path(name: str, version: str = LATEST) -> str:
    return f"releases/{name}/{version}.json"


def component_path(sha256: str) -> str:
    return f"components/{sha256}"


def delta_path(base: str, target: str) -> str:
    return f"deltas/{base}-{target}"


def release_of(manifest: BundleManifest, decision: int) -> Release:
    """The decision numbered ``decision`` to run exactly this bundle."""
    return Release(manifest.name, manifest.version, manifest.digest, decision)
