"""A CTranslate2 model stored as 8-bit integers, so that loading it needs no room for 16 bits.

CTranslate2 quantises float weights when it loads them: for a moment both forms are in memory, too
much for the smallest device. This does the same once, ahead of time: each row of a matrix is
scaled by 127 over its largest magnitude and rounded (``docs/quantization.md`` of CTranslate2), so
what is recognised stays the same. File format: version 6 of CTranslate2's ``model.bin``.

Run as ``python -m edge_runtime.asr.shrink SOURCE TARGET``, a process of its own.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edge_runtime.errors import EdgeRuntimeError, EngineError, ModelCorruptError, StorageError
from edge_runtime.files import atomic_writer

_VERSION = 6
_FLOAT32, _INT8, _FLOAT16 = 0, 1, 4
_MAX_VARIABLES = 10_000
_MAX_NAME = 1024
_MAX_RANK = 8
_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Variable:
    """One stored tensor: its name, shape, CTranslate2's number for its type, and its bytes."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: bytes


def shrunk(source: Path, target: Path) -> Path:
    """``target``, made from ``source`` in a child process unless it is there already.

    Raises:
        ModelCorruptError: the source is not a model of the expected form.
        EngineError: the child was killed.
        StorageError: the target cannot be written.
    """
    if target.is_file():
        return target
    command = [sys.executable, "-m", "edge_runtime.asr.shrink", str(source), str(target)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{source.name} could not be made smaller in time.") from error
    if done.returncode == StorageError.exit_code:
        raise StorageError(done.stderr.strip(), hint="Free some space in the models folder.")
    if done.returncode == ModelCorruptError.exit_code:
        raise ModelCorruptError(done.stderr.strip(), hint="Run 'edge-runtime models verify'.")
    if done.returncode:
        raise EngineError(f"{source.name} could not be made smaller: {done.stderr.strip()[-200:]}")
    return target


def shrink(source: Path, target: Path) -> None:
    """Write ``source`` with its matrices as 8-bit integers to ``target``.

    Raises:
        ModelCorruptError: ``source`` is not a version 6 model file.
        StorageError: ``target`` cannot be written.
    """
    try:
        with source.open("rb") as file:
            head, variables, aliases = _read(file)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise ModelCorruptError(f"{source} is not a speech model: {error}.") from error
    small = [part for variable in variables for part in _quantised(variable)]
    names = {variable.name for variable in small}
    scales = [
        (alias + "_scale", name + "_scale") for alias, name in aliases if name + "_scale" in names
    ]
    try:
        with atomic_writer(target) as file:
            file.write(head)
            file.write(struct.pack("<I", len(small)))
            for variable in small:
                _write(file, variable)
            file.write(struct.pack("<I", len(aliases) + len(scales)))
            for alias, name in (*aliases, *scales):
                file.write(_packed(alias) + _packed(name))
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}.") from error


def _read(file: BinaryIO) -> tuple[bytes, list[Variable], list[tuple[str, str]]]:
    (version,) = struct.unpack("<I", file.read(4))
    if version != _VERSION:
        raise ValueError(f"version {version} instead of {_VERSION}")
    spec = _string(file)
    head = struct.pack("<I", version) + _packed(spec) + file.read(4)
    (count,) = struct.unpack("<I", file.read(4))
    if count > _MAX_VARIABLES:
        raise ValueError(f"{count} variables")
    variables = [_variable(file) for _ in range(count)]
    (count,) = struct.unpack("<I", file.read(4))
    if count > _MAX_VARIABLES:
        raise ValueError(f"{count} aliases")
    return head, variables, [(_string(file), _string(file)) for _ in range(count)]


def _variable(file: BinaryIO) -> Variable:
    name = _string(file)
    rank = file.read(1)[0]
    if rank > _MAX_RANK:
        raise ValueError(f"{name} has {rank} dimensions")
    shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
    kind = file.read(1)[0]
    (size,) = struct.unpack("<I", file.read(4))
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{name} is cut off")
    return Variable(name, shape, kind, data)


def _quantised(variable: Variable) -> Iterator[Variable]:
    matrix = variable.name.endswith("/weight") and len(variable.shape) == 2
    if not matrix or variable.kind not in {_FLOAT16, _FLOAT32} or "conv" in variable.name:
        yield variable
        return
    kind = np.float16 if variable.kind == _FLOAT16 else np.float32
    rows = np.frombuffer(variable.data, dtype=kind).reshape(variable.shape).astype(np.float32)
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0, 127.0 / np.maximum(largest, 1e-30), 1.0).astype(np.float32)
    values = np.rint(rows * scale[:, None]).astype(np.int8)
    yield Variable(variable.name, variable.shape, _INT8, values.tobytes())
    yield Variable(f"{variable.name}_scale", scale.shape, _FLOAT32, scale.tobytes())


def _write(file: BinaryIO, variable: Variable) -> None:
    rank = len(variable.shape)
    file.write(_packed(variable.name))
    file.write(
        struct.pack(f"<B{rank}IBI", rank, *variable.shape, variable.kind, len(variable.data))
    )
    file.write(variable.data)


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    if length > _MAX_NAME:
        raise ValueError("a name is too long")
    return file.read(length).rstrip(b"\0").decode()


def _packed(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def main(source: str, target: str) -> int:
    try:
        shrink(Path(source), Path(target))
    except EdgeRuntimeError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
