"""Who this device is: an id and a secret key, made once and kept beside the journal."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ConfigError, StorageError

KEY_BYTES = 32
_MAX_BYTES = 4096
_MAX_FORMER = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """``key`` (32 bytes) makes the pseudonyms; only a person carries it to the shop's other
    devices, and the server never has it. ``former_keys`` made earlier ones."""

    device_id: str
    key: bytes
    former_keys: tuple[bytes, ...] = ()


def load_identity(path: Path, device_id: str | None = None) -> tuple[Identity, Path | None]:
    """Read the identity at ``path``, or make one (``device_id`` if given, else a random UUID).

    It lies outside the database so that a damaged journal does not cost the device its name.
    A damaged identity file is moved aside and a new identity made; its new name is returned.

    Raises:
        ConfigError: the device already has another id than ``device_id``.
        StorageError: the file cannot be read or written.
    """
    aside = None
    try:
        raw = path.read_bytes()[:_MAX_BYTES] if path.exists() else None
        if raw is not None:
            identity = _parse(raw)
            if identity is not None:
                if device_id not in {None, identity.device_id}:
                    raise ConfigError(
                        f"This device is already {identity.device_id}, not {device_id}.",
                        hint=f"Remove {path} to give it a new identity.",
                    )
                return identity, None
            aside = path.with_name(f"{path.name}.damaged-{secrets.token_hex(4)}")
            path.replace(aside)
        identity = Identity(device_id or str(uuid.uuid4()), secrets.token_bytes(KEY_BYTES))
        _keep(path, identity)
    except ConfigError:
        raise
    except OSError as error:
        raise StorageError(
            f"The device's identity {path} cannot be read or written: {error.strerror}.",
            hint="Set EDGE_DATA_DIR to a writable folder.",
        ) from error
    return identity, aside


def adopt_key(path: Path, key: bytes) -> Identity:
    """Use a shop's key from now on, so that its devices give one customer one pseudonym.

    The key used so far is kept: a person can still be found under the pseudonyms it made. A
    program that has the journal open goes on with its key until it is started again.

    Raises:
        ConfigError: the key is not 32 bytes, or there is no identity yet.
        StorageError: the file cannot be read or written.
    """
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"A shop key is {2 * KEY_BYTES} hexadecimal digits.",
            hint="Print it on the shop's first device: edge-sync shop-key",
        )
    try:
        known = _parse(path.read_bytes()[:_MAX_BYTES]) if path.exists() else None
        if known is None:
            raise ConfigError(f"{path} holds no identity.", hint="Start edge-runtime once.")
        if key == known.key:
            return known
        former = tuple(k for k in (known.key, *known.former_keys) if k != key)[:_MAX_FORMER]
        adopted = Identity(known.device_id, key, former)
        _keep(path, adopted)
    except ConfigError:
        raise
    except OSError as error:
        raise StorageError(f"{path} cannot be read or written: {error.strerror}.") from error
    return adopted


def _keep(path: Path, identity: Identity) -> None:
    body: dict[str, object] = {"device_id": identity.device_id, "key": identity.key.hex()}
    if identity.former_keys:
        body["former_keys"] = [key.hex() for key in identity.former_keys]
    write_private(path, json.dumps(body).encode())


def _parse(raw: bytes) -> Identity | None:
    try:
        body = json.loads(raw)
        key = bytes.fromhex(body["key"])
        former = tuple(bytes.fromhex(text) for text in body.get("former_keys", []))
        device_id = body["device_id"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(device_id, str) or not device_id or min(map(len, (key, *former))) < 16:
        return None
    return Identity(device_id, key, former)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
