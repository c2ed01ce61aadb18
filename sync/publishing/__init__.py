"""The signed repository that devices update from: keys, roots, delegations, bundles as targets."""

from sync.publishing.checking import verify_repository
from sync.publishing.keys import load_signer, new_key
from sync.publishing.roots import change_root, create_repository, replace_key
from sync.publishing.writer import Published, RepositoryWriter, Signers

__all__ = [
    "Published",
    "RepositoryWriter",
    "Signers",
    "change_root",
    "create_repository",
    "load_signer",
    "new_key",
    "replace_key",
    "verify_repository",
]
