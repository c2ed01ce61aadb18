"""A repository as a device would judge it, before any device sees it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sync.publishing.delegations import COMPONENTS, RELEASES
from sync.updater.fetching import METADATA, TARGETS, CarriedFetcher
from sync.updater.repository import Repository


def verify_repository(folder: Path, root: bytes) -> None:
    """Follow every role of the repository in ``folder``, from a root that devices trust.

    Raises:
        UpdateRefusedError: a device would refuse it: a key is not the role's, or it has expired.
        StorageError: the folder cannot be read.
    """
    with tempfile.TemporaryDirectory() as trusted:
        visit = Repository(Path(trusted), CarriedFetcher(folder), METADATA, TARGETS, root=root)
        visit.refresh()
        # Looking a name up, there or not, makes the verifier load the role that answers for it.
        for name in (f"{RELEASES}/any/any", f"{COMPONENTS}/any"):
            visit.find(name)
