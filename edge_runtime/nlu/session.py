"""An ONNX graph, loaded the way a small device wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EngineError
from edge_runtime.memory import return_free_memory

FloatArray = npt.NDArray[np.float32]

_SLOWER: Final = "SkipLayerNormFusion"
"""What this fuses takes twice as long on a processor as its two parts."""


class Session:
    """One loaded graph; safe to run from several threads at once.

    Args:
        path: the ONNX file.
        threads: threads of one run.
        what: names the graph in errors ("encoder").

    Raises:
        EngineError: the file is not a graph that this runtime can load.
    """

    def __init__(self, path: Path, threads: int, what: str) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # An arena would keep the largest batch's memory for ever.
        options.enable_cpu_mem_arena = False
        # Idle worker threads must not burn the cores that speech and the language model need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._what = what
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[_SLOWER],
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise EngineError(f"The {what} graph cannot be loaded: {_first_line(error)}") from error
        # Of reading the file as much is left over as the graph takes.
        return_free_memory()

    @property
    def inputs(self) -> Mapping[str, Sequence[int | str | None]]:
        """Name → declared shape; a dimension without a fixed size is a name or ``None``."""
        return {item.name: item.shape for item in self._session.get_inputs()}

    @property
    def outputs(self) -> Mapping[str, Sequence[int | str | None]]:
        """Name → declared shape, as for :attr:`inputs`."""
        return {item.name: item.shape for item in self._session.get_outputs()}

    def run(self, outputs: Sequence[str], feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """The named outputs, in order.

        Raises:
            EngineError: the graph failed.
        """
        try:
            found: list[FloatArray] = self._session.run(list(outputs), dict(feeds))
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise EngineError(f"The {self._what} failed: {_first_line(error)}") from error
        return found


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
