"""Which keys sign which part of the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import DelegatedRole, Delegations

RELEASES: Final = "releases"
COMPONENTS: Final = "components"
_PATHS = {RELEASES: ["bundles/*/*", "releases/*/*"], COMPONENTS: ["components/*", "deltas/*"]}


def delegations(held: Mapping[str, tuple[Signer, ...]]) -> Delegations:
    """Each role to its signers, all of whom must sign."""
    keys: dict[str, Key] = {}
    roles: dict[str, DelegatedRole] = {}
    for name, signers in held.items():
        ids = [signer.public_key.keyid for signer in signers]
        keys |= {signer.public_key.keyid: signer.public_key for signer in signers}
        # Terminating: nobody else is asked about a path that this role answers for.
        roles[name] = DelegatedRole(name, ids, len(ids), True, _PATHS[name])
    return Delegations(keys, roles)
