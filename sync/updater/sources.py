"""Where updates come from: the server this device belongs to, or mirrors that were named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from sync.link import check_url, linked, open_client
from sync.updater.fetching import CarriedFetcher
from sync.updater.home import UpdateHome
from sync.updater.repository import Repository
from sync.updater.transfer import Mirror, MirrorFetcher

_ENROL = "Enrol it (edge-sync enroll URL --code CODE), or name a --repository."
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


@contextmanager
def fetcher_from(
    home: UpdateHome,
    addresses: Sequence[str] = (),
    *,
    mirrors: Sequence[str] = (),
    bytes_per_s: int = 0,
    may_go: Callable[[], bool] = lambda: True,
) -> Iterator[MirrorFetcher]:
    """Fetches from the addresses named; by default from the mirrors this device is set to ask, then
    from its server. Only the server gets its credential.

    Args:
        bytes_per_s: how much of the link a download may take; 0 for all of it.
        may_go: whether the link may be used (still).

    Raises:
        ConfigError: no address is given and the device belongs to no server.
    """
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(timeout=_TIMEOUT))
        found = [_mirror(check_url(address), client) for address in addresses or mirrors]
        if not addresses:
            kept = home.settings.data_dir
            link = linked(kept, hint=_ENROL)
            server = stack.enter_context(open_client(link, folder=kept))
            found.append(_mirror(f"{link.url}/v1/repository", server))
        yield MirrorFetcher(found, home.incoming, limit=bytes_per_s, may_go=may_go)


def open_repository(
    home: UpdateHome,
    fetcher: MirrorFetcher | CarriedFetcher,
    urls: tuple[str, str],
    root: Path | None = None,
    grace: timedelta = timedelta(0),
) -> Repository:
    """The signed repository as this device trusts it; ``root`` is kept the first time.

    Raises:
        ConfigError: there is no root to trust it by.
        UpdateRefusedError: the root is not valid.
        StorageError: it cannot be kept.
    """
    trusted = home.trusted_root(root)
    home.metadata.mkdir(parents=True, exist_ok=True)
    return Repository(home.metadata, fetcher, *urls, root=trusted, grace=grace)


def _mirror(address: str, client: httpx.Client) -> Mirror:
    return Mirror(f"{address}/metadata/", f"{address}/targets/", client)
