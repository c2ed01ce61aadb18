"""Searching the pack's passages, and keeping the index in step with their files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.knowledge import fusion, lexical
from edge_runtime.knowledge.base import Embedder, SyncReport, Vectors
from edge_runtime.knowledge.database import IndexDatabase, Key, keys_of
from edge_runtime.packs import read_passages
from edge_runtime.turn import Passage

_BATCH = 16


class KnowledgeBase:
    """Searchable passages of one pack.

    Args:
        path: the SQLite file, created when missing.
        embedder: the sentence encoder shared with the NLU.
        fingerprint: of the encoder; the index is rebuilt when it changes.

    Raises:
        StorageError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, embedder: Embedder, *, fingerprint: str) -> None:
        self._embedder = embedder
        self._lock = threading.RLock()
        self._index = IndexDatabase(path, fingerprint)
        with self._index.snapshot():
            self._load()

    def close(self) -> None:
        with self._lock:
            self._index.close()

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
            files: knowledge files below ``root``, or a shop's own anywhere.
            root: the pack's folder; ``Passage.file`` is relative to it.
            progress: called with (texts embedded, texts to embed).

        Raises:
            PackError: a file is malformed; the index is left as it was.
            StorageError: the index cannot be written.
        """
        with self._lock:
            paths = {_relative(path, root): path for path in files}
            digests = {name: _sha256(path) for name, path in paths.items()}
            known = self._index.file_digests()
            changed = [name for name, digest in digests.items() if known.get(name) != digest]
            removed = [name for name in known if name not in digests]
            fresh = {name: _read(paths[name], root) for name in changed}
            keys = [key for passages in fresh.values() for p in passages for key in keys_of(p)]
            embedded = self._embed(self._index.missing(keys), progress)
            if changed or removed:
                stored = [(name, digests[name], passages) for name, passages in fresh.items()]
                self._index.replace(removed, stored)
                with self._index.snapshot():
                    self._load()
            return SyncReport(len(changed), len(removed), embedded, len(self.passages()))

    def search(
        self, query: str, *, language: str, topic: str = "", limit: int = 4
    ) -> tuple[Passage, ...]:
        """The best passages for ``query``, best first, scores in [0, 1].

        Passages in ``language`` are searched; where the pack has none in it, English ones, else
        all. ``topic`` restricts the search to passages of that topic.
        """
        with self._current():
            rows = self._candidates(language, topic)
            if not len(rows) or not query.strip():
                return ()
            vector = self._embedder.encode([query], "query")[0]
            scores = fusion.fuse(self._dense(vector)[rows], self._coverage(query)[rows])
            best = np.argsort(-scores, kind="stable")[:limit]
            return tuple(
                replace(self._passages[rows[i]], score=round(float(scores[i]), 4)) for i in best
            )

    def passage(self, passage_id: str, language: str) -> Passage | None:
        """The passage with this id in ``language``, else in English, else in any language."""
        with self._current():
            found = self._by_id.get(passage_id, {})
            index = found.get(language, found.get("en", next(iter(found.values()), None)))
            return None if index is None else self._passages[index]

    def passages(self) -> tuple[Passage, ...]:
        """Every passage, in file order."""
        with self._current():
            return tuple(self._passages)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """The passages as they are, also when another program has just brought them in step."""
        with self._lock, self._index.snapshot():
            if self._index.version() != self._version:
                self._load()
            yield

    def _load(self) -> None:
        self._version = self._index.version()
        stored = self._index.passages()
        self._rows = {rowid: i for i, (rowid, _) in enumerate(stored)}
        self._passages = [passage for _, passage in stored]
        keys = [(i, key) for i, p in enumerate(self._passages) for key in keys_of(p)]
        self._questions = self._key_set([(i, key) for i, key in keys if key.kind == "query"])
        self._texts = self._key_set([(i, key) for i, key in keys if key.kind == "passage"])
        self._by_id: dict[str, dict[str, int]] = {}
        for index, passage in enumerate(self._passages):
            self._by_id.setdefault(passage.id, {})[passage.language] = index

    def _key_set(self, keys: Sequence[tuple[int, Key]]) -> fusion.KeySet:
        vectors = self._index.vectors([key for _, key in keys])
        return fusion.KeySet(vectors, np.asarray([i for i, _ in keys], dtype=np.int64))

    def _dense(self, vector: Vectors) -> Vectors:
        count = len(self._passages)
        return fusion.dense(self._questions.best(vector, count), self._texts.best(vector, count))

    def _candidates(self, language: str, topic: str) -> npt.NDArray[np.int64]:
        def pick(code: str | None) -> list[int]:
            return [
                i
                for i, p in enumerate(self._passages)
                if (code is None or p.language == code) and (not topic or p.topic == topic)
            ]

        return np.asarray(pick(language) or pick("en") or pick(None), dtype=np.int64)

    def _coverage(self, query: str) -> Vectors:
        """Share of the query's token weight (idf) that each passage covers, shape (n,)."""
        count = len(self._passages)
        scores = np.zeros(count, dtype=np.float32)
        total = 0.0
        for token in lexical.query_tokens(query):
            hits = [self._rows[row] for row in self._index.rows_with(token)]
            weight = float(np.log(1 + (count - len(hits) + 0.5) / (len(hits) + 0.5)))
            total += weight
            scores[hits] += weight
        return scores / total if total else scores

    def _embed(self, missing: Sequence[Key], progress: Callable[[int, int], None] | None) -> int:
        ordered = sorted(missing, key=lambda key: (key.kind, len(key.text)))
        done = 0
        for kind in ("query", "passage"):
            of_kind = [key for key in ordered if key.kind == kind]
            for start in range(0, len(of_kind), _BATCH):
                batch = of_kind[start : start + _BATCH]
                vectors = self._embedder.encode([key.text for key in batch], kind)
                self._index.store_vectors(batch, vectors)
                done += len(batch)
                if progress:
                    progress(done, len(missing))
        return done


def _read(path: Path, root: Path) -> tuple[Passage, ...]:
    """A shop's own file stands outside the pack and names its pictures relative to itself."""
    return read_passages(path, root if path.is_relative_to(root) else path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
