"""Files of signing keys: those that sign day to day on the server, the others in a folder offline.

::

    <keys>/snapshot.pem  timestamp.pem  releases.pem  components.pem
    <offline>/root-1.pem  root-2.pem  …  targets.pem

A key that is to take another's place lies beside it as ``NAME.next.pem`` until devices can see it:
a replacement that was cut short goes on where it stopped, whichever key was in force by then.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import Signer

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.errors import ConfigError
from edge_runtime.files import sync_folder
from sync.publishing import Signers, load_signer, new_key

ONLINE = ("snapshot", "timestamp", "releases", "components")
_ROOT = re.compile(r"root-[1-9][0-9]?")


def is_key_name(name: str) -> bool:
    """Whether a key may be called this."""
    return name in (*ONLINE, "targets") or _ROOT.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """``password`` protects every key in the folder; empty where they are not encrypted."""

    folder: Path
    password: str = ""

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def load(self, name: str) -> Signer:
        """The key of this name.

        Raises:
            ConfigError: there is none, it is none, or the password is wrong.
        """
        return load_signer(self.path(name), self.password)

    def load_or_make(self, name: str) -> Signer:
        """The key of this name, made where there is none yet.

        Raises:
            ConfigError: it is none, or the password is wrong.
            StorageError: it cannot be kept.
        """
        if self.has(name):
            return self.load(name)
        return new_key(self.path(name), self.password)

    def successor(self, name: str) -> Signer:
        """The key that is to take the place of the one of this name.

        Raises:
            As :meth:`load_or_make`.
        """
        return self.load_or_make(f"{name}.next")

    def settle(self, in_force: Collection[str]) -> None:
        """Put every successor whose key id is ``in_force`` in its place.

        Raises:
            ConfigError: one is no key, or its password is wrong.
            StorageError: the folder cannot be changed.
        """
        with storage_errors(self.folder):
            for path in sorted(self.folder.glob("*.next.pem")):
                if load_signer(path, self.password).public_key.keyid in in_force:
                    path.replace(self.path(path.name.removesuffix(".next.pem")))
                    sync_folder(self.folder)

    def roots(self) -> dict[str, Signer]:
        """The root keys that are here, by name.

        Raises:
            ConfigError: one of them is no key, or its password is wrong.
        """
        names = [path.stem for path in sorted(self.folder.glob("root-*.pem"))]
        return {name: self.load(name) for name in names if _ROOT.fullmatch(name)}


def online_signers(keys: KeyFolder) -> Signers:
    """The keys that sign day to day.

    Raises:
        ConfigError: one is missing or is no key.
    """
    missing = [name for name in ONLINE if not keys.has(name)]
    if missing:
        raise ConfigError(
            f"{keys.folder} has no key '{missing[0]}'.",
            hint="Make keys and repository once: edge-central repository init OFFLINE_FOLDER",
        )
    return _signers({name: keys.load(name) for name in ONLINE})


def make_online(keys: KeyFolder) -> Signers:
    """Like :func:`online_signers`, with those made that are missing.

    Raises:
        ConfigError: one is no key.
        StorageError: one cannot be kept.
    """
    return _signers({name: keys.load_or_make(name) for name in ONLINE})


def replaced(keys: KeyFolder, name: str, signer: Signer) -> Signers:
    """The day-to-day keys with ``signer`` in the place of the one of this name.

    Raises:
        ConfigError: another one is missing or is no key.
    """
    return _signers({other: keys.load(other) for other in ONLINE if other != name} | {name: signer})


def _signers(by_name: dict[str, Signer]) -> Signers:
    return Signers(
        by_name["snapshot"], by_name["timestamp"], (by_name["releases"],), by_name["components"]
    )
