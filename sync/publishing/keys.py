"""Signing keys: Ed25519, one file each. Root and targets keys belong on media kept offline."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from edge_runtime.errors import ConfigError, StorageError
from edge_runtime.journal import write_private

_MAX_KEY_BYTES = 16_384


def new_key(path: Path, password: str = "") -> CryptoSigner:
    """Make a key and keep it at ``path``, readable by its owner only, encrypted if a password is
    given.

    Raises:
        ConfigError: there is a file already; a key is never overwritten.
        StorageError: it cannot be written.
    """
    if path.exists():
        raise ConfigError(f"{path} exists already.", hint="Choose another name for the new key.")
    private = Ed25519PrivateKey.generate()
    protection: KeySerializationEncryption = NoEncryption()
    if password:
        protection = BestAvailableEncryption(password.encode())
    try:
        write_private(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
    return CryptoSigner(private)


def load_signer(path: Path, password: str = "") -> CryptoSigner:
    """The key at ``path``.

    Raises:
        ConfigError: there is none, it is no Ed25519 key, or the password is wrong.
    """
    try:
        with path.open("rb") as file:
            pem = file.read(_MAX_KEY_BYTES)
        private = load_pem_private_key(pem, password.encode() or None)
    except OSError as error:
        raise ConfigError(f"The key {path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} is no key, or its password is wrong.", hint="Check the file and the password."
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not an Ed25519 key.")
    return CryptoSigner(private)
