"""One model made out of another: tensor by tensor, because retraining moves every weight a little.

A general-purpose delta looks for runs of equal bytes and finds none in a model whose weights all
moved. This one lines the tensors of two GGUF or ONNX files up by name and sends the differences of
their numbers, which are small and compress well. A delta is only ever a cheaper way to bytes that
are then held against their signed hash.
"""

from sync.delta.applying import apply_delta
from sync.delta.form import DeltaError
from sync.delta.making import make_delta

__all__ = ["DeltaError", "apply_delta", "make_delta"]
