"""The index follows its files, survives damage, and finds what is asked for."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import PackError, StorageError
from edge_runtime.knowledge import KnowledgeBase, copy_index
from edge_runtime.knowledge.base import Vectors
from edge_runtime.knowledge.lexical import MAX_TOKENS, match_expression, query_tokens, tokens

RETURNS = """---
kind: policy
topic: returns
---
# Returns
## Food {#food}
Bread and milk cannot be returned.
## Clothing {#clothing}
Coats can be returned within 30 days.
"""
RETURNS_ZH = """---
kind: policy
topic: returns
---
# 退货
## 食品 {#food}
面包和牛奶不能退货。
"""
PARKING = """---
kind: faq
topic: parking
---
# Parking
## Fees {#fees}
Parking is free for two hours with any purchase.
"""


class CountingEmbedder:
    """Bag-of-words vectors: texts that share words are near each other. Counts its work."""

    def __init__(self) -> None:
        self.passages: list[str] = []

    def encode(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vectors:
        if len(texts) > 1 or kind == "passage":
            self.passages += texts
        rows = np.full((len(texts), 64), 0.05, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for token in tokens(text):
                row[hashlib.sha256(token.encode()).digest()[0] % 64] += 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "pack"
    (root / "knowledge").mkdir(parents=True)
    write(root, "returns.en.md", RETURNS)
    write(root, "returns.zh.md", RETURNS_ZH)
    write(root, "parking.en.md", PARKING)
    return root


@pytest.fixture
def base(tmp_path: Path, embedder: CountingEmbedder, root: Path) -> Iterator[KnowledgeBase]:
    opened = open_base(tmp_path, embedder)
    opened.sync(files(root), root)
    embedder.passages.clear()
    yield opened
    opened.close()


def write(root: Path, name: str, text: str) -> None:
    (root / "knowledge" / name).write_text(text, encoding="utf-8")


def files(root: Path) -> list[Path]:
    return sorted((root / "knowledge").iterdir())


def open_base(
    folder: Path, embedder: CountingEmbedder, *, fingerprint: str = "e1"
) -> KnowledgeBase:
    return KnowledgeBase(folder / "knowledge.db", embedder, fingerprint=fingerprint)


def ids(base: KnowledgeBase) -> set[tuple[str, str]]:
    return {(passage.id, passage.language) for passage in base.passages()}


# ---- keeping in step with the files ----


def test_a_new_index_holds_every_passage(
    tmp_path: Path, root: Path, embedder: CountingEmbedder
) -> None:
    base = open_base(tmp_path, embedder)
    seen: list[tuple[int, int]] = []
    report = base.sync(files(root), root, progress=lambda done, total: seen.append((done, total)))
    assert (report.files_read, report.files_removed, report.passages_total) == (3, 0, 4)
    assert report.passages_embedded == len(embedder.passages) > 0
    assert seen[-1] == (report.passages_embedded, report.passages_embedded)
    assert ids(base) == {
        ("returns#food", "en"),
        ("returns#clothing", "en"),
        ("returns#food", "zh"),
        ("parking#fees", "en"),
    }
    base.close()


def test_nothing_changed_means_nothing_read_and_nothing_embedded(
    base: KnowledgeBase, root: Path, embedder: CountingEmbedder
) -> None:
    report = base.sync(files(root), root)
    assert (report.files_read, report.passages_embedded, report.passages_total) == (0, 0, 4)
    assert embedder.passages == []


def test_only_the_new_sentence_of_a_changed_file_is_embedded(
    base: KnowledgeBase, root: Path, embedder: CountingEmbedder
) -> None:
    write(root, "returns.en.md", RETURNS.replace("30 days", "60 days"))
    report = base.sync(files(root), root)
    assert (report.files_read, report.passages_embedded) == (1, 1)
    assert len(embedder.passages) == 1
    assert "60 days" in embedder.passages[0]
    found = base.passage("returns#clothing", "en")
    assert found
    assert "60 days" in found.text


def test_a_moved_text_keeps_its_vector(
    base: KnowledgeBase, root: Path, embedder: CountingEmbedder
) -> None:
    (root / "knowledge" / "parking.en.md").rename(root / "knowledge" / "cars.en.md")
    report = base.sync(files(root), root)
    assert (report.files_read, report.files_removed) == (1, 1)
    assert embedder.passages == []
    assert ("cars#fees", "en") in ids(base)


def test_a_removed_file_is_forgotten(base: KnowledgeBase, root: Path) -> None:
    (root / "knowledge" / "parking.en.md").unlink()
    report = base.sync(files(root), root)
    assert (report.files_removed, report.passages_total) == (1, 3)
    assert all(p.topic != "parking" for p in base.search("parking fees", language="en"))
    assert base.passage("parking#fees", "en") is None


def test_a_malformed_file_leaves_the_index_as_it_was(base: KnowledgeBase, root: Path) -> None:
    before = ids(base)
    write(root, "parking.en.md", PARKING.replace("topic: parking", "kindness: 1"))
    with pytest.raises(PackError, match=r"parking\.en\.md"):
        base.sync(files(root), root)
    assert ids(base) == before
    assert base.search("parking fees", language="en")


def test_the_index_outlives_the_process(
    base: KnowledgeBase, tmp_path: Path, root: Path, embedder: CountingEmbedder
) -> None:
    before = ids(base)
    base.close()
    again = open_base(tmp_path, embedder)
    assert ids(again) == before
    assert again.sync(files(root), root).passages_embedded == 0
    again.close()


def test_what_another_program_brings_in_step_is_found_at_once(
    base: KnowledgeBase, tmp_path: Path, root: Path, embedder: CountingEmbedder
) -> None:
    """Such as ``knowledge add`` beside an assistant that serves customers."""
    assert base.search("parking fees", language="en")[0].id == "parking#fees"
    write(root, "parking.en.md", PARKING + "\n\nBicycles park for nothing.\n")
    write(root, "returns.zh.md", RETURNS_ZH + "\n")
    (root / "knowledge" / "returns.en.md").unlink()
    other = open_base(tmp_path, embedder)
    other.sync(files(root), root)
    assert "Bicycles" in base.search("bicycles parking fees", language="en")[0].text
    assert base.passage("returns#clothing", "en") is None
    assert ids(base) == ids(other)
    other.close()


def test_an_index_that_is_written_all_the_time_answers_all_the_time(
    base: KnowledgeBase, tmp_path: Path, root: Path, embedder: CountingEmbedder
) -> None:
    stop = threading.Event()

    def write_on() -> None:
        other = open_base(tmp_path, embedder)
        turn = 0
        while not stop.is_set():
            turn += 1
            write(root, "parking.en.md", PARKING + "\n" * (1 + turn % 3))
            other.sync(files(root), root)
        other.close()

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(200):
            assert base.search("parking fees", language="en")[0].id == "parking#fees"
    finally:
        stop.set()
        writer.join(60)


def test_another_encoder_means_another_index(
    base: KnowledgeBase, tmp_path: Path, root: Path, embedder: CountingEmbedder
) -> None:
    base.close()
    other = open_base(tmp_path, embedder, fingerprint="e2")
    assert other.passages() == ()
    assert other.sync(files(root), root).passages_embedded > 0
    other.close()


@pytest.mark.parametrize("damage", ["text", "header", "middle"])
def test_a_damaged_index_is_built_again(
    base: KnowledgeBase, tmp_path: Path, root: Path, embedder: CountingEmbedder, damage: str
) -> None:
    base.close()
    path = tmp_path / "knowledge.db"
    for companion in tmp_path.glob("knowledge.db-*"):
        companion.unlink()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"this is no database at all, not even a little " * 100)
    elif damage == "header":
        content[:100] = b"\xff" * 100
    else:
        content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    again = open_base(tmp_path, embedder)
    again.sync(files(root), root)
    assert len(again.passages()) == 4
    again.close()


# ---- what cannot be written ----


def test_a_read_only_place_is_a_clear_error(embedder: CountingEmbedder) -> None:
    with pytest.raises(StorageError, match="knowledge index"):
        KnowledgeBase(Path("/sys/kernel/knowledge.db"), embedder, fingerprint="e1")


def test_a_full_disk_is_a_clear_error_and_the_old_index_still_answers(
    base: KnowledgeBase, root: Path
) -> None:
    connection = base._index.db.conn
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    sections = "".join(f"## Section {n} {{#s{n}}}\n{'word ' * 100}{n}\n" for n in range(60))
    write(root, "parking.en.md", f"---\nkind: faq\ntopic: parking\n---\n# Parking\n{sections}")
    with pytest.raises(StorageError, match="cannot be written"):
        base.sync(files(root), root)
    found = base.passage("parking#fees", "en")
    assert found
    assert "two hours" in found.text
    connection.execute("PRAGMA max_page_count = 100000")
    assert base.sync(files(root), root).passages_total == 63


# ---- searching ----


def test_the_passage_that_speaks_of_it_comes_first(base: KnowledgeBase) -> None:
    best = base.search("bread and milk cannot be returned", language="en")
    assert best[0].id == "returns#food"
    assert [p.score for p in best] == sorted((p.score for p in best), reverse=True)
    assert all(0 <= p.score <= 1 for p in best)


def test_a_language_sees_its_own_passages_and_else_the_english_ones(base: KnowledgeBase) -> None:
    assert {p.language for p in base.search("面包能退吗", language="zh")} == {"zh"}
    assert {p.language for p in base.search("el pan", language="es")} == {"en"}


def test_a_topic_restricts_where_the_answer_may_come_from(base: KnowledgeBase) -> None:
    found = base.search("can I return bread", language="en", topic="parking")
    assert [p.id for p in found] == ["parking#fees"]
    assert base.search("bread", language="en", topic="nothing") == ()


def test_a_passage_is_found_by_id_in_the_nearest_language(base: KnowledgeBase) -> None:
    for asked, given_ in (("zh", "zh"), ("en", "en"), ("fr", "en")):
        found = base.passage("returns#food", asked)
        assert found
        assert found.language == given_
    assert base.passage("no#such", "en") is None


def test_silence_finds_nothing_and_the_limit_is_kept(base: KnowledgeBase) -> None:
    assert base.search("   ", language="en") == ()
    assert len(base.search("returned", language="en", limit=1)) == 1


def test_an_empty_pack_answers_nothing(tmp_path: Path, embedder: CountingEmbedder) -> None:
    base = open_base(tmp_path, embedder)
    assert base.search("anything", language="en") == ()
    base.close()


# ---- words ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("退货 OK", ["退货", "ok"]),
        ("7天内可以退货", ["7", "天内", "内可", "可以", "以退", "退货"]),
        ("iPhone手机壳", ["iphone", "手机", "机壳"]),
        ("Ｒ２０２６ 茶", ["r2026", "茶"]),
        ("", []),
    ],
)
def test_text_becomes_words_and_character_pairs(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text(max_size=400))
def test_any_text_becomes_bounded_plain_tokens(text: str) -> None:
    found = query_tokens(text)
    assert len(found) == len(set(found)) <= MAX_TOKENS
    assert all(token and not any(c.isspace() or c in '"()*^:-' for c in token) for token in found)


@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(['"', "NEAR(", "AND", "NOT", "*", "^", ":", "退货", "a'b", "\x00", ")"])
        ).map(" ".join),
    )
)
def test_no_text_is_a_syntax_error_to_the_index(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(body)")
    wanted = query_tokens(text)
    if wanted:
        connection.execute(
            "SELECT rowid FROM words WHERE words MATCH ?", [match_expression(wanted)]
        ).fetchall()
    connection.close()


def test_a_hundred_thousand_characters_are_cut_not_refused() -> None:
    assert len(tokens("退货" * 50_000)) <= MAX_TOKENS * 8 + 50_000 * 2
    assert len(query_tokens(" ".join(f"w{n}" for n in range(50_000)))) == MAX_TOKENS


def test_assistants_that_start_at_once_share_one_new_index(
    tmp_path: Path, root: Path, embedder: CountingEmbedder
) -> None:
    ready = threading.Barrier(4, timeout=60)
    totals: list[int] = []

    def start(folder: Path) -> None:
        ready.wait()
        base = open_base(folder, embedder)
        totals.append(base.sync(files(root), root).passages_total)
        base.close()

    for attempt in range(5):
        folder = tmp_path / f"attempt-{attempt}"
        threads = [threading.Thread(target=start, args=(folder,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        fresh = open_base(folder, embedder)
        assert len(fresh.passages()) == 4
        fresh.close()
    assert totals == [4] * 20


def test_a_copied_index_is_whole_and_independent(tmp_path: Path) -> None:
    source = tmp_path / "common.db"
    with closing(sqlite3.connect(source)) as common:
        common.execute("CREATE TABLE t (x)")
        common.execute("INSERT INTO t VALUES (1)")
        common.commit()
        copy_index(source, tmp_path / "own.db")
        common.execute("DELETE FROM t")
        common.commit()
    with closing(sqlite3.connect(tmp_path / "own.db")) as own:
        assert own.execute("SELECT x FROM t").fetchall() == [(1,)]
    with pytest.raises(StorageError):
        copy_index(source, tmp_path / "missing" / "own.db")
