from __future__ import annotations

import os
from pathlib import Path

import pytest
from bundle_kit import Notes, Site, serving, sha

from edge_runtime.bundles import Archive
from edge_runtime.bundles.sources import fetch
from edge_runtime.errors import FetchError, ModelCorruptError

DATA = os.urandom(600_000)


def archive(site: Site, data: bytes = DATA) -> Archive:
    return Archive("url", f"{site.address}/x.bin", "x.bin", len(data), len(data), sha(data))


def partial(folder: Path, data: bytes) -> None:
    (folder / f"{sha(DATA)}-x.bin.part").write_bytes(data)


def test_a_cached_prefix_is_continued_not_fetched_again(tmp_path: Path) -> None:
    partial(tmp_path, DATA[:250_000])
    notes = Notes()
    with serving(Site(pages={"/x.bin": DATA})) as site:
        path = fetch(archive(site), tmp_path, notes)
    assert path.read_bytes() == DATA
    assert site.requests == [("/x.bin", "bytes=250000-")]
    assert notes.done == notes.total == len(DATA)


def test_a_transfer_that_breaks_off_is_continued(tmp_path: Path) -> None:
    with serving(Site(pages={"/x.bin": DATA}, cut={"/x.bin": 200_000})) as site:
        path = fetch(archive(site), tmp_path, Notes())
    assert path.read_bytes() == DATA
    assert len(site.requests) == 3
    assert all(wanted.startswith("bytes=") for _, wanted in site.requests[1:])


def test_a_transfer_that_keeps_breaking_off_keeps_what_came(tmp_path: Path) -> None:
    with serving(Site(pages={"/x.bin": DATA}, cut={"/x.bin": 5_000})) as site:
        with pytest.raises(FetchError, match="could not be fetched") as caught:
            fetch(archive(site), tmp_path, Notes())
        assert "continues" in caught.value.hint
        site.cut.clear()
        assert fetch(archive(site), tmp_path, Notes()).read_bytes() == DATA


def test_a_server_without_ranges_starts_over(tmp_path: Path) -> None:
    partial(tmp_path, b"?" * 1000)
    with serving(Site(pages={"/x.bin": DATA}, ranges=False)) as site:
        assert fetch(archive(site), tmp_path, Notes()).read_bytes() == DATA


def test_a_prefix_longer_than_the_file_starts_over(tmp_path: Path) -> None:
    partial(tmp_path, bytes(len(DATA) + 5))
    with serving(Site(pages={"/x.bin": DATA})) as site:
        assert fetch(archive(site), tmp_path, Notes()).read_bytes() == DATA


def test_a_wrong_prefix_is_found_out_and_thrown_away(tmp_path: Path) -> None:
    partial(tmp_path, b"?" * 1000)
    with serving(Site(pages={"/x.bin": DATA})) as site:
        with pytest.raises(ModelCorruptError, match="expected sha256"):
            fetch(archive(site), tmp_path, Notes())
        assert list(tmp_path.iterdir()) == []
        assert fetch(archive(site), tmp_path, Notes()).read_bytes() == DATA


def test_a_server_that_never_stops_is_cut_off(tmp_path: Path) -> None:
    with (
        serving(Site(pages={"/x.bin": DATA + b"more"})) as site,
        pytest.raises(ModelCorruptError, match="longer than its"),
    ):
        fetch(archive(site), tmp_path, Notes())
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) == 0


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_answer_is_one_sentence(tmp_path: Path, status: int) -> None:
    with (
        serving(Site(pages={"/x.bin": DATA}, status=status)) as site,
        pytest.raises(FetchError, match=f"answered {status}"),
    ):
        fetch(archive(site), tmp_path, Notes())


def test_an_address_nobody_answers_is_no_network(tmp_path: Path) -> None:
    gone = Archive("url", "http://127.0.0.1:9/x.bin", "x.bin", 3, 3, sha(b"abc"))
    with pytest.raises(FetchError, match="No network"):
        fetch(gone, tmp_path, Notes())


def test_a_verified_archive_is_not_asked_for_again(tmp_path: Path) -> None:
    with serving(Site(pages={"/x.bin": DATA})) as site:
        first = fetch(archive(site), tmp_path, Notes())
        assert fetch(archive(site), tmp_path, Notes()) == first
        assert len(site.requests) == 1
        first.write_bytes(b"spoiled")
        assert fetch(archive(site), tmp_path, Notes()).read_bytes() == DATA
