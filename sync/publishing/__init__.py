"""The signed repository that devices update from: keys, roots, delegations, bundles as targets."""

from sync.publishing.keys import load_signer, new_key
from sync.publishing.roots import change_root, create_repository
from sync.publishing.writer import Published, RepositoryWriter, Signers

__all__ = [
    "Published",
    "RepositoryWriter",
    "Signers",
    "change_root",
    "create_repository",
    "load_signer",
    "new_key",
]
