"""Root metadata: who may sign what. Made and changed with offline keys, a threshold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.errors import ConfigError
from edge_runtime.files import write_atomic
from sync.publishing.delegations import delegations
from sync.publishing.lifetimes import LIFETIMES
from sync.publishing.writer import RepositoryWriter, Signers
from sync.updater.clock import issued_field


def create_repository(
    folder: Path,
    root_signers: Sequence[Signer],
    targets_signers: Sequence[Signer],
    online: Signers,
    *,
    threshold: int = 2,
    now: datetime | None = None,
) -> RepositoryWriter:
    """A new, empty repository in ``folder``.

    Args:
        root_signers: the offline keys behind everything.
        targets_signers: the offline keys that delegate to the release and component roles.
        online: the keys that sign day to day; see :class:`Signers`.
        threshold: how many root keys must sign a root.
        now: when it is signed; the current time by default.

    Raises:
        ConfigError: there is a repository already, or fewer root keys than the threshold.
        StorageError: the folder cannot be written.
    """
    if (folder / "metadata").exists():
        raise ConfigError(f"{folder} holds a repository already.")
    if not 1 <= threshold <= len({signer.public_key.keyid for signer in root_signers}):
        raise ConfigError(
            f"A threshold of {threshold} needs at least as many different root keys.",
            hint="Give more root keys, or a lower threshold.",
        )
    moment = now or datetime.now(UTC)
    root = Root(consistent_snapshot=True, expires=_until(moment, Root.type))
    for signer in root_signers:
        root.add_key(signer.public_key, Root.type)
    for signer in targets_signers:
        root.add_key(signer.public_key, Targets.type)
    for role, signer in ((Snapshot.type, online.snapshot), (Timestamp.type, online.timestamp)):
        root.add_key(signer.public_key, role)
    root.roles[Root.type].threshold = threshold
    targets = Targets(
        expires=_until(moment, Targets.type), delegations=delegations(online.delegated)
    )
    _write_root(folder, Metadata(root), root_signers, moment)
    signed = Metadata(targets)
    for signer in targets_signers:
        signed.sign(signer, append=True)
    with storage_errors(folder):
        write_atomic(folder / "metadata" / "1.targets.json", signed.to_bytes())
    writer = RepositoryWriter(folder, online)
    writer.begin(now=moment)
    return writer


def change_root(
    folder: Path,
    change: Callable[[Root], None],
    signers: Sequence[Signer],
    *,
    now: datetime | None = None,
) -> int:
    """Publish the next root: keys replaced, revoked or added, thresholds changed, expiry renewed.

    Args:
        change: changes the new root in place (``root.add_key``, ``root.revoke_key``, …).
        signers: a threshold of the old root's keys and of the new root's; both must agree.

    Returns:
        The new root's version.

    Raises:
        ConfigError: the signers do not reach the old or the new threshold; nothing is published.
        StorageError: the folder cannot be read or written.
    """
    moment = now or datetime.now(UTC)
    with storage_errors(folder):
        latest = max(
            (folder / "metadata").glob("*.root.json"), key=lambda path: int(path.name.split(".")[0])
        )
        old = Metadata[Root].from_bytes(latest.read_bytes())
    new = Metadata[Root].from_bytes(old.to_bytes())
    new.signed.version += 1
    new.signed.expires = _until(moment, Root.type)
    change(new.signed)
    return _write_root(folder, new, signers, moment, old.signed)


def replace_key(root: Root, role: str, old: str, new: Key) -> None:
    """Take the key with id ``old`` out of ``role`` and put ``new`` in its place."""
    root.revoke_key(old, role)
    root.add_key(new, role)


def _write_root(
    folder: Path,
    root: Metadata[Root],
    signers: Sequence[Signer],
    moment: datetime,
    old: Root | None = None,
) -> int:
    root.signed.unrecognized_fields.update(issued_field(moment))
    root.signatures.clear()
    for signer in signers:
        root.sign(signer, append=True)
    try:
        for authority in (old or root.signed, root.signed):
            authority.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except RepositoryError as error:
        raise ConfigError(
            f"The new root is not published: {error}.",
            hint="A threshold of the old root's keys and of the new root's must sign it.",
        ) from error
    version = root.signed.version
    with storage_errors(folder):
        write_atomic(folder / "metadata" / f"{version}.root.json", root.to_bytes())
    return version


def _until(moment: datetime, role: str) -> datetime:
    return (moment + timedelta(days=LIFETIMES[role])).replace(microsecond=0)
