"""Which server this device belongs to, and its credential: ``central.json`` in the data folder."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from edge_runtime.errors import ConfigError, EdgeRuntimeError, StorageError
from edge_runtime.journal import write_private
from sync.errors import CredentialError, SyncError
from sync.exchange import Exchange, understood
from sync.protocol.fleet import EnrollAnswer

FILE = "central.json"
_MAX_ANSWER = 16_384


@dataclass(frozen=True, slots=True)
class Link:
    """``ca`` is the path of a certificate authority to trust instead of the system's, or ""."""

    url: str
    token: str
    ca: str = ""


class _AsKept(httpx.Auth):
    """The credential as it is kept now: another process may have renewed it."""

    def __init__(self, link: Link, folder: Path) -> None:
        self._link = link
        self._folder = folder

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        # What cannot be read just now is no reason to stop: the last one known may still do.
        with contextlib.suppress(EdgeRuntimeError):
            kept = load_link(self._folder)
            if kept is not None and kept.url == self._link.url:
                self._link = kept
        request.headers["Authorization"] = f"Bearer {self._link.token}"
        yield request


def open_client(
    link: Link, *, folder: Path | None = None, transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """A client for the server with this device's credential; it follows no redirect.

    Args:
        folder: where the link is kept, for a client that outlives its credential.

    Raises:
        ConfigError: the certificate authority cannot be read.
    """
    return httpx.Client(
        base_url=link.url,
        headers={"Authorization": f"Bearer {link.token}"} if link.token else {},
        timeout=httpx.Timeout(30.0, connect=10.0),
        verify=_verify(link.ca),
        follow_redirects=False,
        transport=transport,
        auth=None if folder is None else _AsKept(link, folder),
    )


def _verify(ca: str) -> ssl.SSLContext | bool:
    if not ca:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"The certificate authority {ca} cannot be read: {error}.") from error


def check_url(url: str) -> str:
    """The server's address without a trailing slash.

    Raises:
        ConfigError: it is no web address, or would send the credential unencrypted to another
            machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{url!r} is not a server's address.", hint="Use https://HOST[:PORT].")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigError(
            f"{url} would send this device's credential unencrypted.", hint="Use https://."
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_link(folder: Path) -> Link | None:
    """The link kept in ``folder``, or ``None`` when the device is not enrolled.

    Raises:
        ConfigError: the file is damaged.
        StorageError: it cannot be read.
    """
    path = folder / FILE
    try:
        body = json.loads(path.read_bytes()[:_MAX_ANSWER])
        return Link(
            url=check_url(body["url"]), token=str(body["token"]), ca=str(body.get("ca", ""))
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{path} is damaged.", hint="Enrol this device again: edge-sync enroll URL --code CODE"
        ) from error


def linked(folder: Path, *, hint: str = "Enrol it: edge-sync enroll URL --code CODE") -> Link:
    """The same, for what cannot go on without one.

    Raises:
        ConfigError: the device is not enrolled; ``hint`` says what to do.
    """
    link = load_link(folder)
    if link is None:
        raise ConfigError("This device belongs to no central server.", hint=hint)
    return link


def enroll(
    url: str,
    code: str,
    device_id: str,
    folder: Path,
    *,
    ca: str = "",
    transport: httpx.BaseTransport | None = None,
) -> Link:
    """Trade a one-time code for this device's credential and keep it.

    Raises:
        ConfigError: the address is wrong.
        CredentialError: the code is unknown, used or expired.
        SyncError: the server cannot be reached or does not answer as it should.
        StorageError: the credential cannot be kept.
    """
    link = Link(url=check_url(url), token="", ca=ca)
    try:
        with open_client(link, transport=transport) as client:
            answer = client.post("/v1/enroll", json={"code": code, "device_id": device_id})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SyncError(f"The central server {url} cannot be reached: {error}.") from error
    if answer.status_code in {401, 403}:
        raise CredentialError(
            "The central server does not accept this enrolment code.",
            hint="Ask for a new one: edge-central enroll",
        )
    try:
        if answer.status_code != 200 or len(answer.content) > _MAX_ANSWER:
            raise SyncError(f"The central server refused to enrol: HTTP {answer.status_code}.")
        token = EnrollAnswer.model_validate_json(answer.content).token
    except ValidationError as error:
        raise SyncError(f"{url} does not answer like a central server.") from error
    enrolled = Link(url=link.url, token=token, ca=ca)
    _keep(enrolled, folder)
    return enrolled


def renew(folder: Path, *, transport: httpx.BaseTransport | None = None) -> Link:
    """Have this device's credential replaced and keep the new one.

    The server takes the old one until the new one is first used: whatever cuts this off, the device
    is not locked out.

    Raises:
        ConfigError: the device is not enrolled.
        CredentialError: the server does not know this device.
        SyncError: the server cannot be reached or does not answer as it should.
        StorageError: the new one cannot be kept.
    """
    link = linked(folder)
    with open_client(link, transport=transport) as client:
        body = Exchange(client).post("/v1/credential", b"", "application/json")
    renewed = replace(link, token=understood(EnrollAnswer, body).token)
    _keep(renewed, folder)
    return renewed


def _keep(link: Link, folder: Path) -> None:
    try:
        write_private(folder / FILE, json.dumps(asdict(link)).encode())
    except OSError as error:
        raise StorageError(f"The credential cannot be kept: {error.strerror}.") from error
