"""Labelled text and conversations for a shop that has none yet, out of its domain pack."""

from __future__ import annotations

from converters.synth.settings import SynthSettings
from converters.synth.synthesizing import Synthesized, synthesize

__all__ = ["SynthSettings", "Synthesized", "synthesize"]
