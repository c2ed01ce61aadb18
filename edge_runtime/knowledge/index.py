"""The index: passages, their words and their vectors in one SQLite file.

The file is derived from the pack and can be deleted at any time; a damaged one is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import sqlite_utils

from edge_runtime.errors import StorageError
from edge_runtime.knowledge import fusion, lexical
from edge_runtime.knowledge.base import Embedder, SyncReport, Vectors
from edge_runtime.packs.knowledge import read_passages
from edge_runtime.turn import Passage

SCHEMA_VERSION = 2
_BATCH = 16

_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE passages (
    rowid INTEGER PRIMARY KEY, id TEXT NOT NULL, language TEXT NOT NULL, title TEXT NOT NULL,
    text TEXT NOT NULL, kind TEXT NOT NULL, topic TEXT NOT NULL, images TEXT NOT NULL,
    file TEXT NOT NULL REFERENCES files(path) ON DELETE CASCADE,
    title_vector BLOB NOT NULL, text_vector BLOB NOT NULL);
CREATE INDEX passages_by_id ON passages (id, language);
CREATE INDEX passages_by_file ON passages (file);
CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize='unicode61 remove_diacritics 2');
CREATE TABLE vectors (sha256 TEXT PRIMARY KEY, vector BLOB NOT NULL);
"""


class KnowledgeBase:
    """Searchable passages of one pack.

    Args:
        path: the SQLite file, created when missing.
        embedder: the sentence encoder shared with the NLU.
        fingerprint: identifies encoder and reader; the index is rebuilt when it changes.

    Raises:
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path, embedder: Embedder, *, fingerprint: str) -> None:
        self._path = path
        self._embedder = embedder
        self._fingerprint = f"{SCHEMA_VERSION}:{fingerprint}"
        self._lock = threading.RLock()
        self._db = self._open()
        self._load()

    def close(self) -> None:
        with self._lock:
            self._db.conn.close()

    def sync(
        self,
        files: Sequence[Path],
        root: Path,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncReport:
        """Bring the index in step with ``files``; only changed files are read, only new texts
        are embedded.

        Args:
            files: knowledge files below ``root``, or shop files anywhere.
            root: the pack's folder; paths in the index and in ``Passage.file`` are relative to it.
            progress: called with (passages embedded, passages to embed).

        Raises:
            PackError: a file is malformed; the index is left as it was.
            StorageError: the index cannot be written.
        """
        with self._lock:
            digests = {_relative(path, root): _sha256(path) for path in files}
            paths = {_relative(path, root): path for path in files}
            known = {row["path"]: row["sha256"] for row in self._db["files"].rows}
            changed = [name for name, digest in digests.items() if known.get(name) != digest]
            removed = [name for name in known if name not in digests]
            fresh = {name: read_passages(paths[name], root) for name in changed}
            embedded = self._embed_missing(fresh.values(), progress)
            try:
                with self._db.conn:
                    for name in [*removed, *changed]:
                        self._forget(name)
                    for name, passages in fresh.items():
                        self._store(name, digests[name], passages)
                    self._drop_unused_vectors()
            except sqlite3.Error as error:
                raise StorageError(
                    f"The knowledge index {self._path} cannot be written: {error}.",
                    hint="Free disk space or check the folder's permissions.",
                ) from error
            if changed or removed:
                self._load()
            return SyncReport(len(changed), len(removed), embedded, len(self._passages))

    def search(
        self, query: str, *, language: str, topic: str = "", limit: int = 4
    ) -> tuple[Passage, ...]:
        """The best passages for ``query``, best first, scores in [0, 1].

        Passages in ``language`` are searched; where the pack has none in it, English ones, else
        all. ``topic`` restricts the search to passages of that topic.
        """
        with self._lock:
            rows = self._candidates(language, topic)
            if not rows.size or not query.strip():
                return ()
            vector = self._embedder.encode([query], "query")[0]
            dense = fusion.dense_scores(vector, self._titles, self._texts, self._background)[rows]
            words = self._word_scores(query)[rows]
            scores = fusion.fuse(dense, words)
            best = np.argsort(-scores, kind="stable")[:limit]
            return tuple(_scored(self._passages[rows[i]], float(scores[i])) for i in best)

    def passage(self, passage_id: str, language: str) -> Passage | None:
        """The passage with this id in ``language``, else in English, else in any language."""
        with self._lock:
            found = self._by_id.get(passage_id, {})
            index = found.get(language, found.get("en", next(iter(found.values()), None)))
            return None if index is None else self._passages[index]

    def passages(self) -> tuple[Passage, ...]:
        """Every passage, in file order."""
        with self._lock:
            return tuple(self._passages)

    def _open(self) -> sqlite_utils.Database:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise StorageError(
                    f"The knowledge index {self._path} cannot be opened: {error}.",
                    hint="Check the data folder's permissions and free space.",
                ) from error
            self._path.unlink(missing_ok=True)
            return self._connect()
        except OSError as error:
            raise StorageError(
                f"The folder of the knowledge index {self._path} cannot be made: {error}.",
                hint="Check the data folder's permissions and free space.",
            ) from error

    def _connect(self) -> sqlite_utils.Database:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")
            if not _is_current(connection, self._fingerprint):
                _rebuild(connection, self._fingerprint)
        except sqlite3.Error:
            connection.close()
            raise
        return sqlite_utils.Database(connection)

    def _load(self) -> None:
        rows = list(self._db.query("SELECT * FROM passages ORDER BY rowid"))
        self._rowids = [int(row["rowid"]) for row in rows]
        self._passages = [_passage(row) for row in rows]
        self._titles = _matrix([row["title_vector"] for row in rows])
        self._texts = _matrix([row["text_vector"] for row in rows])
        self._background = fusion.background(self._texts)
        self._by_id: dict[str, dict[str, int]] = {}
        for index, passage in enumerate(self._passages):
            self._by_id.setdefault(passage.id, {})[passage.language] = index
        with closing(self._db.conn.execute("SELECT COUNT(*) FROM words")) as cursor:
            self._word_count = int(cursor.fetchone()[0])

    def _candidates(self, language: str, topic: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        def pick(code: str | None) -> list[int]:
            return [
                i
                for i, p in enumerate(self._passages)
                if (code is None or p.language == code) and (not topic or p.topic == topic)
            ]

        return np.asarray(pick(language) or pick("en") or pick(None), dtype=np.int64)

    def _word_scores(self, query: str) -> Vectors:
        """Share of the query's token weight (idf) that each passage covers, shape (n,)."""
        scores = np.zeros(len(self._passages), dtype=np.float32)
        wanted = lexical.query_tokens(query)
        position = {rowid: i for i, rowid in enumerate(self._rowids)}
        total = 0.0
        for token in wanted:
            with closing(
                self._db.conn.execute(
                    "SELECT rowid FROM words WHERE words MATCH ?",
                    [lexical.match_expression([token])],
                )
            ) as cursor:
                hits = [position[row[0]] for row in cursor if row[0] in position]
            weight = float(np.log(1 + (self._word_count - len(hits) + 0.5) / (len(hits) + 0.5)))
            total += weight
            scores[hits] += weight
        return scores / total if total else scores

    def _embed_missing(
        self,
        files: Iterable[Sequence[Passage]],
        progress: Callable[[int, int], None] | None,
    ) -> int:
        texts = {text for passages in files for p in passages for text in _embedded_texts(p)}
        missing = sorted(text for text in texts if self._vector(text) is None)
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            vectors = self._embedder.encode(batch, "passage")
            self._db.table("vectors").upsert_all(
                (
                    {"sha256": _text_key(text), "vector": vector.astype("<f4").tobytes()}
                    for text, vector in zip(batch, vectors, strict=True)
                ),
                pk="sha256",
            )
            if progress:
                progress(min(start + _BATCH, len(missing)), len(missing))
        return len(missing)

    def _vector(self, text: str) -> bytes | None:
        row = self._db.conn.execute(
            "SELECT vector FROM vectors WHERE sha256 = ?", [_text_key(text)]
        ).fetchone()
        return None if row is None else bytes(row[0])

    def _forget(self, file: str) -> None:
        conn = self._db.conn
        conn.execute(
            "DELETE FROM words WHERE rowid IN (SELECT rowid FROM passages WHERE file=?)", [file]
        )
        conn.execute("DELETE FROM files WHERE path = ?", [file])

    def _store(self, file: str, digest: str, passages: Sequence[Passage]) -> None:
        conn = self._db.conn
        conn.execute("INSERT INTO files VALUES (?, ?)", [file, digest])
        for passage in passages:
            title_text, body_text = _embedded_texts(passage)
            cursor = conn.execute(
                "INSERT INTO passages (id, language, title, text, kind, topic, images, file,"
                " title_vector, text_vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    passage.id,
                    passage.language,
                    passage.title,
                    passage.text,
                    passage.kind,
                    passage.topic,
                    json.dumps(passage.images),
                    file,
                    self._vector(title_text),
                    self._vector(body_text),
                ],
            )
            conn.execute(
                "INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)",
                [
                    cursor.lastrowid,
                    " ".join(lexical.tokens(passage.title)),
                    " ".join(lexical.tokens(passage.text)),
                ],
            )

    def _drop_unused_vectors(self) -> None:
        used = {
            _text_key(text)
            for row in self._db.query("SELECT * FROM passages")
            for text in _embedded_texts(_passage(row))
        }
        stale = [row["sha256"] for row in self._db["vectors"].rows if row["sha256"] not in used]
        self._db.conn.executemany("DELETE FROM vectors WHERE sha256 = ?", [(key,) for key in stale])


def _embedded_texts(passage: Passage) -> tuple[str, str]:
    return passage.title, f"{passage.title}\n{passage.text}"


def _text_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _matrix(blobs: list[bytes]) -> Vectors:
    if not blobs:
        return np.zeros((0, 1), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)


def _passage(row: dict[str, Any]) -> Passage:
    return Passage(
        id=row["id"],
        title=row["title"],
        text=row["text"],
        language=row["language"],
        kind=row["kind"],
        topic=row["topic"],
        images=tuple(json.loads(row["images"])),
        file=row["file"],
    )


def _scored(passage: Passage, score: float) -> Passage:
    return Passage(
        passage.id,
        passage.title,
        passage.text,
        passage.language,
        passage.kind,
        passage.topic,
        round(score, 4),
        passage.images,
        passage.file,
    )


def _is_current(connection: sqlite3.Connection, fingerprint: str) -> bool:
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'built_with'").fetchone()
    if not exists:
        return False
    row = connection.execute("SELECT fingerprint FROM built_with").fetchone()
    return row is not None and row[0] == fingerprint


def _rebuild(connection: sqlite3.Connection, fingerprint: str) -> None:
    for table in ("built_with", "words", "passages", "files", "vectors"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.executescript(_SCHEMA)
    connection.execute("CREATE TABLE built_with (fingerprint TEXT)")
    connection.execute("INSERT INTO built_with VALUES (?)", [fingerprint])
    connection.commit()
