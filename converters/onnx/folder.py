"""Folders of ONNX models: what is in one, whether it is sound, and writing one whole or not at all.

::

    model.onnx            the graph
    model.onnx.data       its weights, which ONNX Runtime maps into memory
    config.json           and the tokeniser's files, chat template, generation_config.json
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from converters.errors import ModelFileError, OptionError
from converters.formats import refuse_pickle
from edge_runtime.bundles.blobs import require_space, storage_errors
from edge_runtime.errors import StorageError
from edge_runtime.files import sync_folder

if TYPE_CHECKING:
    import onnx_ir as ir

MODEL: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"
COMPANIONS: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
)
"""What belongs to a model besides its weights."""

Kind = Literal["decoder", "encoder"]

_PAGE: Final = 4096
_LIFTED: Final = 16
_MAX_GRAPH_BYTES: Final = 2**31
_EXPORT_AGAIN: Final = "Export the model again from its Hugging Face folder."
_QUANTISED: Final = frozenset({"MatMulNBits", "MatMulInteger", "QuantizeLinear"})


@dataclass(frozen=True, slots=True)
class OnnxFolder:
    """A sound ONNX folder; ``size`` in bytes, ``operators`` counts the graph's nodes by type,
    ``weights`` numbers that the graph stores."""

    path: Path
    kind: Kind
    size: int
    weights: int
    operators: Mapping[str, int]

    @property
    def quantised(self) -> bool:
        return not _QUANTISED.isdisjoint(self.operators)


def read_folder(path: Path) -> OnnxFolder:
    """Check the ONNX folder at ``path``.

    Raises:
        ModelFileError: a file is missing, a pickle, damaged or cut short, or the weights lie
            outside the folder.
    """
    model = path / MODEL
    if not model.is_file():
        raise ModelFileError(
            f"{path} is no ONNX folder: it holds no {MODEL}.", hint="Check the path."
        )
    for companion in COMPANIONS:
        if (path / companion).is_file():
            refuse_pickle(path / companion)
    graph = read_graph(model)
    operators = Counter(node.op_type for node in graph.graph)
    outputs = {value.name for value in graph.graph.outputs}
    return OnnxFolder(
        path,
        "decoder" if "logits" in outputs else "encoder",
        sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        sum(tensor.size for tensor in _tensors(graph)),
        dict(operators),
    )


def read_graph(model: Path) -> ir.Model:
    """The graph in ``model``; its weights stay on the disk until they are used.

    Raises:
        ModelFileError: it is a pickle, no ONNX file, cut short, or refers to files elsewhere.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass

    refuse_pickle(model)
    if model.stat().st_size > _MAX_GRAPH_BYTES:
        raise ModelFileError(f"{model} is larger than an ONNX file can be.", hint=_EXPORT_AGAIN)
    try:
        graph = ir.load(model)
        empty = not len(graph.graph) or not graph.graph.outputs
    except Exception as error:  # protobuf's and onnx-ir's errors share no class
        raise ModelFileError(f"{model} is no ONNX file.", hint=_EXPORT_AGAIN) from error
    if empty:
        raise ModelFileError(f"{model} holds no graph.", hint=_EXPORT_AGAIN)
    for tensor in _tensors(graph):
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(model, tensor)
    # Writing a graph moves the weights of initialisers only; a large constant would keep pointing
    # at the file that it was read from.
    LiftConstantsToInitializersPass(size_limit=_LIFTED)(graph)
    return graph


def write_graph(graph: ir.Model, folder: Path) -> None:
    """Write ``graph`` as ``model.onnx`` and its weights beside it, for memory-mapping."""
    import onnx_ir as ir

    ir.save(graph, folder / MODEL, external_data=WEIGHTS, alignment=_PAGE)


def copy_companions(source: Path, target: Path) -> None:
    """Copy configuration, tokeniser and chat template."""
    for name in COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


@contextlib.contextmanager
def whole_folder(target: Path, needed: int) -> Iterator[Path]:
    """An empty folder beside ``target`` that becomes it, synced, when the block ends well.

    ``needed`` is how many bytes it may take. Subfolders are scratch space and go first.

    Raises:
        OptionError: the target exists, or another process writes it.
        StorageError: the disk is full or cannot be written.
    """
    if target.exists():
        raise OptionError(f"{target} exists already.", hint="Name a new folder, or remove it.")
    partial = target.with_name(f".{target.name}.partial")
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            require_space(target.parent, needed)
            partial.mkdir(exist_ok=True)
            with _locked(partial, target):
                try:
                    _empty(partial)
                    yield partial
                    _finish(partial)
                    partial.rename(target)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
            sync_folder(target.parent)
    except StorageError as error:
        hint = "Free some space, or name another folder."
        raise StorageError(error.message, hint=hint) from error


def _finish(partial: Path) -> None:
    for path in sorted(partial.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(partial)


@contextlib.contextmanager
def _locked(folder: Path, target: Path) -> Iterator[None]:
    # The name is always the same, so that what a killed run left is cleared by the next.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise OptionError(f"Another process is writing {target}.") from None
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every tensor the model stores, those of nested graphs too."""
    import onnx_ir as ir

    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.TENSOR:
                    yield attribute.as_tensor()


def _check_external(model: Path, tensor: ir.ExternalTensor) -> None:
    folder = model.parent.resolve()
    file = (folder / tensor.location).resolve()
    if file.parent != folder or not file.is_file():
        raise ModelFileError(
            f"{model} keeps weights in '{tensor.location}', which is not beside it.",
            hint="Put the file with the weights beside it.",
        )
    end = (tensor.offset or 0) + tensor.nbytes
    if end > file.stat().st_size:
        raise ModelFileError(f"{file} is cut short: weights are missing.", hint=_EXPORT_AGAIN)
