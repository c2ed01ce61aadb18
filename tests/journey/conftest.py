"""The journey uses the kits of the rooms it goes through."""

from __future__ import annotations

import sys
from pathlib import Path

for room in ("assistant", "faults", "sync", "updater"):
    sys.path.append(str(Path(__file__).parents[1] / room))
