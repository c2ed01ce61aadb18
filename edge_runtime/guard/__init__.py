"""The guard: sensitive words, compliance, unsupported claims and personal data, on the stream."""

from edge_runtime.guard.guard import Guard, GuardStream

__all__ = ["Guard", "GuardStream"]
