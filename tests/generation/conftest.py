"""What the tests of this folder share with those of the converters: tiny language models."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "converters"))
