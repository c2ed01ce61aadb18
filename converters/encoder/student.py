"""The student's base: a trimmed vocabulary, a trunk, and the frozen encoder's upper layers.

Tasks are trained on the trunk's hidden states in layers of their own (:mod:`.fit`), so that no
training can move the vectors that retrieval compares.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from converters.dataset import Row
from converters.encoder.states import MAX_TOKENS, PREFIX
from converters.encoder.vocabulary import DEFAULT_FINE, DEFAULT_PIECES, choose_pieces
from converters.encoder.words import words_file
from converters.errors import OptionError
from converters.progress import Report, silent
from edge_runtime import __version__
from edge_runtime.bundles import shipped_folder
from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.errors import ModelMissingError
from edge_runtime.files import sync_folder, write_atomic
from edge_runtime.modelfiles import EMBEDDING, PIECES, TRUNK, WORDS
from edge_runtime.nlu.e5file import E5File, Shape
from edge_runtime.nlu.student import STUDENT_BASE
from edge_runtime.nlu.tokenizer import Tokenizer, piece_index

if TYPE_CHECKING:
    from torch import Tensor

    from converters.encoder.body import Embedding, Trunk, Words

ENCODER: Final = "multilingual-e5-small-q4"
SOURCE: Final = "e5-small-q4.bin"
"""What students are made from, by its id in the catalogue, and its one file."""
LICENCE: Final = "MIT"


@dataclass(frozen=True, slots=True)
class StudentBase:
    """A bundle folder with the base's files."""

    path: Path
    digest: str
    pieces: int
    size: int


def make_student(
    source: Path,
    rows: Iterable[Row],
    out: Path,
    *,
    pieces: int = DEFAULT_PIECES,
    fine: int = DEFAULT_FINE,
    progress: Report = silent,
) -> StudentBase:
    """Write the base made from ``source`` as the bundle folder ``out``, whole or not at all.

    Args:
        source: ``e5-small-q4.bin``.
        rows: what customers say, in every language wanted; decides which pieces are kept, how
            products are rounded and, by the languages named, what is taken out of vectors.
        out: a folder that does not exist yet.
        pieces: how many pieces to keep.
        fine: how many of them, the most used, keep their rows of 4 bits; the others get 2.
        progress: told how far it is.

    Raises:
        ModelCorruptError: the source is not sound.
        OptionError: ``out`` exists, there is no text, or ``pieces`` are too few.
        StorageError: ``out`` cannot be written.
    """
    if out.exists():
        raise OptionError(f"{out} exists already.", hint="Name a new folder, or remove it.")
    file = E5File(source)
    rows = list(rows)
    said = list(dict.fromkeys(row.text for row in rows))
    if not said:
        raise OptionError(
            "There is no text to choose pieces and rounding by.",
            hint="Name files with what customers say.",
        )
    kept = choose_pieces(file, said, pieces, progress=progress)
    files = {WORDS: words_file(file, kept, fine, progress)}
    with storage_errors(out):
        partial = out.with_name(f".{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write_atomic(partial / "files" / WORDS, files[WORDS])
            words = E5File(partial / "files" / WORDS)
            index = io.BytesIO()
            np.save(index, piece_index(words.vocabulary), allow_pickle=False)
            files[PIECES] = index.getvalue()
            write_atomic(partial / "files" / PIECES, files[PIECES])
            tokenizer = Tokenizer(words, partial / "files" / PIECES)
            progress("rounding products", 0.5)
            for name, content in _graphs(file, words, tokenizer, rows, said).items():
                files[name] = content
                write_atomic(partial / "files" / name, content)
            manifest = bundle_manifest(out.name, files, LICENCE)
            write_atomic(partial / "manifest.json", manifest.to_json())
            partial.rename(out)
            sync_folder(out.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return StudentBase(out, manifest.digest, len(kept), manifest.size)


def bundle_manifest(name: str, files: Mapping[str, bytes], licence: str) -> BundleManifest:
    """The manifest of a bundle called ``name`` that holds ``files``."""
    components = tuple(
        Component(
            file,
            len(content),
            hashlib.sha256(content).hexdigest(),
            Path(file).suffix.removeprefix("."),
            licence,
        )
        for file, content in files.items()
    )
    letters = "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
    return BundleManifest(letters[:64], "1", __version__, components)


def shipped_base() -> Path:
    """The folder of the student base that came with the package.

    Raises:
        ModelMissingError: none did.
    """
    folder = shipped_folder(STUDENT_BASE)
    if folder is None:
        raise ModelMissingError(
            "No student encoder came with this package.",
            hint="Make one with 'edge-convert student' and name it with --base.",
        )
    return folder


def depth_of(shape: Shape) -> int:
    """Layers of the trunk, which every task shares: two thirds of the encoder's."""
    return shape.layers * 2 // 3


def _graphs(
    file: E5File, words: E5File, tokenizer: Tokenizer, rows: Sequence[Row], said: Sequence[str]
) -> dict[str, bytes]:
    """The graphs of trunk and embedding, products rounded by what is ``said``, the distinct texts
    of ``rows``."""
    # Imported late: it brings torch.
    from converters.encoder.body import Embedding, Trunk, Words
    from converters.encoder.graph import ROWS, Graph
    from converters.encoder.smoothing import smoothing, spread

    width, depth = file.shape.hidden, depth_of(file.shape)
    trunk, embedding = Trunk(file, depth), Embedding(file, depth)
    table = Words(words)
    seen = [tokenizer.pieces(text, MAX_TOKENS, PREFIX).ids for text in spread(said)]
    states = [trunk.norm(table.batch([ids])[0]).detach() for ids in seen]
    known, states = smoothing(trunk.layers, states)
    graph = Graph(known)
    lower = graph.norm("embeddings", trunk.norm)
    graph.layers(lower, trunk.layers, output="hidden")
    inputs = {"embeddings": (*ROWS, width)}
    made = {TRUNK: graph.serialize(inputs, {"hidden": (*ROWS, width)})}
    known, _ = smoothing(embedding.layers, states)
    graph = Graph(known)
    pooled = graph.pooled(graph.layers("hidden", embedding.layers))
    directions = _language_directions(rows, tokenizer, table, trunk, embedding)
    if directions is not None:
        pooled = graph.without(pooled, directions)
    graph.unit(pooled, output="vectors")
    inputs = {"hidden": (*ROWS, width)}
    return made | {EMBEDDING: graph.serialize(inputs, {"vectors": ("batch", width)})}


def _language_directions(
    rows: Sequence[Row], tokenizer: Tokenizer, table: Words, trunk: Trunk, embedding: Embedding
) -> Tensor | None:
    """What vectors of several languages differ by, (languages - 1, width); ``None`` for one."""
    import torch

    from converters.encoder.languages import by_language, language_directions

    means = []
    for texts in by_language(rows).values():
        ids = [tokenizer.pieces(text, MAX_TOKENS, PREFIX).ids for text in texts]
        with torch.inference_mode():
            embeddings, mask = table.batch(ids)
            means.append(embedding(trunk(embeddings, mask), mask).mean(0))
    return language_directions(torch.stack(means)) if means else None
