"""The index on disk: passages, their words and the vectors of what they are found by.

A passage is found by its *keys*: its title, the questions customers ask for it, and its text.
The file is derived from the pack and can be deleted at any time; a damaged one is rebuilt.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sqlite_utils

from edge_runtime.errors import StorageError
from edge_runtime.knowledge import lexical
from edge_runtime.knowledge.base import Vectors
from edge_runtime.turn import Passage

SCHEMA_VERSION = 4

KeyKind = Literal["query", "passage"]

_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE passages (
    rowid INTEGER PRIMARY KEY, id TEXT NOT NULL, language TEXT NOT NULL, title TEXT NOT NULL,
    text TEXT NOT NULL, kind TEXT NOT NULL, topic TEXT NOT NULL, images TEXT NOT NULL,
    questions TEXT NOT NULL, file TEXT NOT NULL REFERENCES files(path) ON DELETE CASCADE);
CREATE INDEX passages_by_file ON passages (file);
CREATE VIRTUAL TABLE words USING fts5(body, tokenize='unicode61 remove_diacritics 2');
CREATE TABLE vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE built_with (fingerprint TEXT);
"""
_TABLES = ("built_with", "words", "passages", "files", "vectors")
_BUSY_S = 30.0
_HINT = "Check the data folder's permissions and free space."


@dataclass(frozen=True, slots=True)
class Key:
    """A text that finds a passage: like a question ("query") or as a text ("passage")."""

    text: str
    kind: KeyKind

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.kind}:{self.text}".encode()).hexdigest()


def keys_of(passage: Passage) -> tuple[Key, ...]:
    """What ``passage`` is found by."""
    asked = [Key(text, "query") for text in (passage.title, *passage.questions)]
    return (*asked, Key(f"{passage.title}\n{passage.text}", "passage"))


class IndexDatabase:
    """One index file, opened.

    Args:
        path: the SQLite file, created when missing.
        fingerprint: of encoder and reader; the index is rebuilt when it changes.

    Raises:
        StorageError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self._fingerprint = f"{SCHEMA_VERSION}:{fingerprint}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.db = self._connect()
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"The knowledge index {path} cannot be opened: {error}.", hint=_HINT
            ) from error
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self.db = self._connect()
        except OSError as error:
            raise StorageError(
                f"The folder of the knowledge index {path} cannot be made: {error.strerror}.",
                hint=_HINT,
            ) from error

    def close(self) -> None:
        self.db.conn.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside is one state of the index, whatever other programs write."""
        self.db.conn.execute("BEGIN")
        try:
            yield
        finally:
            self.db.conn.rollback()

    def version(self) -> int:
        """Another number than before when another program has written since."""
        (number,) = self.db.conn.execute("PRAGMA data_version").fetchone()
        return int(number)

    def file_digests(self) -> dict[str, str]:
        return {row["path"]: row["sha256"] for row in self.db["files"].rows}

    def passages(self) -> list[tuple[int, Passage]]:
        """Row id and passage, in order."""
        rows = self.db.query("SELECT * FROM passages ORDER BY rowid")
        return [(int(row["rowid"]), _passage(row)) for row in rows]

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of ``keys`` that have no vector yet, each once."""
        known = {row["key"] for row in self.db.query("SELECT key FROM vectors")}
        distinct = {key.digest: key for key in keys}
        return [key for digest, key in sorted(distinct.items()) if digest not in known]

    def store_vectors(self, keys: Sequence[Key], vectors: Vectors) -> None:
        rows = [
            (key.digest, vector.astype("<f4").tobytes())
            for key, vector in zip(keys, vectors, strict=True)
        ]
        with self.writing():
            self.db.conn.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def vectors(self, keys: Sequence[Key]) -> Vectors:
        """The vectors of ``keys``, shape (n, dimensions)."""
        stored = {row["key"]: row["vector"] for row in self.db.query("SELECT * FROM vectors")}
        if not keys:
            return np.zeros((0, 1), dtype=np.float32)
        joined = b"".join(stored[key.digest] for key in keys)
        return np.frombuffer(joined, dtype="<f4").reshape(len(keys), -1)

    def replace(
        self, removed: Iterable[str], fresh: Iterable[tuple[str, str, Sequence[Passage]]]
    ) -> None:
        """Forget files and store others (path, digest, passages) in one transaction."""
        with self.writing():
            for file in removed:
                self._forget(file)
            for file, digest, passages in fresh:
                self._forget(file)
                self._store(file, digest, passages)
            used = {key.digest for _, p in self.passages() for key in keys_of(p)}
            known = {row["key"] for row in self.db.query("SELECT key FROM vectors")}
            self.db.conn.executemany(
                "DELETE FROM vectors WHERE key = ?", [(key,) for key in known - used]
            )

    def rows_with(self, token: str) -> list[int]:
        """Row ids of the passages that contain ``token``."""
        expression = lexical.match_expression([token])
        found = self.db.query("SELECT rowid FROM words WHERE words MATCH ?", [expression])
        return [int(row["rowid"]) for row in found]

    def writing(self) -> _Transaction:
        """A transaction whose failure is a ``StorageError``."""
        return _Transaction(self.db.conn, self.path)

    def _connect(self) -> sqlite_utils.Database:
        # Of several assistants that start at once, one builds; the others wait and find it built.
        with self.path.with_name(f"{self.path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._open()

    def _open(self) -> sqlite_utils.Database:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")
            if not self._is_current(connection):
                self._rebuild(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return sqlite_utils.Database(connection)

    def _is_current(self, connection: sqlite3.Connection) -> bool:
        named = "SELECT 1 FROM sqlite_master WHERE name = 'built_with'"
        if not connection.execute(named).fetchone():
            return False
        row = connection.execute("SELECT fingerprint FROM built_with").fetchone()
        return row is not None and row[0] == self._fingerprint

    def _rebuild(self, connection: sqlite3.Connection) -> None:
        for table in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO built_with VALUES (?)", [self._fingerprint])
        connection.commit()

    def _forget(self, file: str) -> None:
        of_file = "SELECT rowid FROM passages WHERE file = ?"
        self.db.conn.execute(f"DELETE FROM words WHERE rowid IN ({of_file})", [file])  # noqa: S608
        self.db.conn.execute("DELETE FROM files WHERE path = ?", [file])

    def _store(self, file: str, digest: str, passages: Sequence[Passage]) -> None:
        conn = self.db.conn
        conn.execute("INSERT INTO files VALUES (?, ?)", [file, digest])
        for p in passages:
            cursor = conn.execute(
                "INSERT INTO passages (id, language, title, text, kind, topic, images, questions,"
                " file) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    p.id,
                    p.language,
                    p.title,
                    p.text,
                    p.kind,
                    p.topic,
                    json.dumps(p.images),
                    json.dumps(p.questions, ensure_ascii=False),
                    file,
                ],
            )
            body = lexical.tokens("\n".join((p.title, *p.questions, p.text)))
            conn.execute(
                "INSERT INTO words (rowid, body) VALUES (?, ?)", [cursor.lastrowid, " ".join(body)]
            )


class _Transaction:
    """Commits when the block ends well, rolls back otherwise."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def __enter__(self) -> None:
        self._connection.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._connection.__exit__(kind, error, trace)
        except sqlite3.Error as failed:
            error = failed
        if isinstance(error, sqlite3.Error):
            raise StorageError(
                f"The knowledge index {self._path} cannot be written: {error}.", hint=_HINT
            ) from error


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
        questions=tuple(json.loads(row["questions"])),
    )


def copy_index(source: Path, target: Path) -> None:
    """Copy an index that others may be writing, whole or not at all.

    Raises:
        StorageError: the target cannot be written.
    """
    temporary = target.with_name(f".{target.name}.copy")
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(temporary)) as new:
            old.backup(new)
        temporary.replace(target)
    except (sqlite3.Error, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"The knowledge index {target} cannot be written: {error}.", hint=_HINT
        ) from error
