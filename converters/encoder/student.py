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
from typing import Final

import numpy as np

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
    texts: Iterable[str],
    out: Path,
    *,
    pieces: int = DEFAULT_PIECES,
    fine: int = DEFAULT_FINE,
    progress: Report = silent,
) -> StudentBase:
    """Write the base made from ``source`` as the bundle folder ``out``, whole or not at all.

    Args:
        source: ``e5-small-q4.bin``.
        texts: what customers say, in every language wanted; decides which pieces are kept, and
            how products are rounded.
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
    said = list(dict.fromkeys(texts))
    if not said:
        raise OptionError(
            "There is no text to choose pieces and rounding by.",
            hint="Name files with what customers say.",
        )
    kept = choose_pieces(file, said, pieces, progress=progress)
    files = {WORDS: words_file(file, kept, fine)}
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
            for name, content in _graphs(file, words, tokenizer, said).items():
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
    file: E5File, words: E5File, tokenizer: Tokenizer, said: Sequence[str]
) -> dict[str, bytes]:
    """The graphs of trunk and embedding, products rounded by what is ``said``."""
    # Imported late: it brings torch.
    from converters.encoder.body import Embedding, Trunk, Words
    from converters.encoder.graph import ROWS, Graph
    from converters.encoder.smoothing import smoothing, spread

    width = file.shape.hidden
    depth = depth_of(file.shape)
    trunk, embedding = Trunk(file, depth), Embedding(file, depth)
    table = Words(words)
    seen = [tokenizer.pieces(text, MAX_TOKENS, PREFIX).ids for text in spread(said)]
    states = [trunk.norm(table.batch([ids])[0]).detach() for ids in seen]
    factors, states = smoothing(trunk.layers, states)
    graph = Graph(factors)
    lower = graph.norm("embeddings", trunk.norm)
    graph.layers(lower, graph.attended("mask"), trunk.layers, output="hidden")
    inputs = {"embeddings": (*ROWS, width), "mask": ROWS}
    made = {TRUNK: graph.serialize(inputs, {"hidden": (*ROWS, width)})}
    factors, _ = smoothing(embedding.layers, states)
    graph = Graph(factors)
    upper = graph.layers("hidden", graph.attended("mask"), embedding.layers)
    graph.unit(graph.pooled(upper, "mask"), output="vectors")
    inputs = {"hidden": (*ROWS, width), "mask": ROWS}
    return made | {EMBEDDING: graph.serialize(inputs, {"vectors": ("batch", width)})}
