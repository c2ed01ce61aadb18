from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from bundle_kit import sha, tarred, wheel_store, zipped
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.bundles import pull
from edge_runtime.bundles.archives import ArchiveSet, read_members
from edge_runtime.errors import ModelCorruptError


def open_bytes(folder: Path, name: str, data: bytes) -> ArchiveSet:
    path = folder / name
    path.write_bytes(data)
    archives = ArchiveSet(folder)
    archives.add(path, name)
    return archives


def read(archives: ArchiveSet, pattern: str, limit: int = 10**6) -> bytes:
    return b"".join(read_members(archives.matching(pattern), limit=limit, label="x"))


@pytest.mark.parametrize("evil", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "c:evil"])
@pytest.mark.parametrize(("suffix", "pack"), [(".whl", zipped), (".tgz", tarred)])
def test_an_archive_with_a_name_that_leaves_its_folder_is_refused(
    tmp_path: Path, evil: str, suffix: str, pack: object
) -> None:
    data = pack({"pkg/model.bin": b"x", evil: b"owned"})  # type: ignore[operator]
    with pytest.raises(ModelCorruptError, match="unsafe member name"):
        open_bytes(tmp_path, f"a{suffix}", data)


def test_a_traversal_wheel_writes_nothing_anywhere(tmp_path: Path) -> None:
    members = {"fake_m/w.bin": b"w", "../../../../evil.txt": b"owned"}
    store, stick = wheel_store(tmp_path, {"w.bin": b"w"}, members=members)
    with pytest.raises(ModelCorruptError, match="unsafe member name"):
        pull(store, ["m"], from_dir=stick)
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        info = zipfile.ZipInfo("pkg/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ModelCorruptError, match="is a link"):
        open_bytes(tmp_path, "a.whl", target.getvalue())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_with_a_link_or_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/link")
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ModelCorruptError, match="link or device"):
        open_bytes(tmp_path, "a.tgz", target.getvalue())


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("p/x", b"1")
        archive.writestr("p/x", b"2")
    with pytest.raises(ModelCorruptError, match="two members"):
        open_bytes(tmp_path, "a.zip", target.getvalue())


def test_a_gzip_bomb_is_refused_and_its_copy_removed(tmp_path: Path) -> None:
    bomb = tarred({"package/zeros": bytes(80_000_000)})
    archives = ArchiveSet(tmp_path)
    (tmp_path / "a.tgz").write_bytes(bomb)
    with archives, pytest.raises(ModelCorruptError, match="far too much"):
        archives.add(tmp_path / "a.tgz", "a.tgz")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tgz"]


def test_a_member_larger_than_the_file_it_becomes_is_not_unpacked(tmp_path: Path) -> None:
    archives = open_bytes(tmp_path, "a.zip", zipped({"p/zeros": bytes(50_000_000)}))
    with pytest.raises(ModelCorruptError, match="longer than its 10 bytes"):
        read(archives, "p/zeros", limit=10)


def test_a_member_that_declares_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    files = {"w.bin": b"w" * 10}
    honest = zipped({"fake_m/w.bin": b"w" * 5000})
    lying = honest.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != honest
    archives = open_bytes(tmp_path, "a.zip", lying)
    with pytest.raises(ModelCorruptError, match="damaged"):
        read(archives, "fake_m/w.bin", limit=len(files["w.bin"]))


@pytest.mark.parametrize("name", ["a.whl", "a.tgz"])
@given(data=st.data())
def test_a_damaged_archive_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    pack = zipped if name.endswith("whl") else tarred
    whole = pack({"p/x": b"hello world" * 20, "p/y": b"1"})
    where = data.draw(st.integers(0, len(whole) - 1))
    kept = data.draw(st.integers(0, len(whole)))
    spoiled = bytearray(whole)
    spoiled[where] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / name
    path.write_bytes(bytes(spoiled[:kept]))
    with ArchiveSet(folder) as archives:
        try:
            archives.add(path, name)
            for member in archives.members.values():
                list(read_members([member], limit=10**6, label=member.name))
        except ModelCorruptError as error:
            assert "\n" not in error.message


def test_a_file_that_is_no_archive_is_its_own_member(tmp_path: Path) -> None:
    with open_bytes(tmp_path, "model.gguf", b"GGUF") as archives:
        assert sha(read(archives, "model.gguf")) == sha(b"GGUF")


def test_a_star_stays_within_one_folder(tmp_path: Path) -> None:
    with open_bytes(tmp_path, "a.zip", zipped({"p1/a.bin": b"1", "x/p2/a.bin": b"2"})) as archives:
        assert read(archives, "p*/a.bin") == b"1"
