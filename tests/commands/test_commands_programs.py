"""Where a program's packages are missing, it says which one and how to get them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("start", "package", "extra"),
    [("sync.central.start", "alembic", "central"), ("converters.start", "safetensors", "convert")],
)
@pytest.mark.parametrize("missing", [False, True])
def test_a_program_says_what_it_lacks(start: str, package: str, extra: str, missing: bool) -> None:
    script = f"""
import sys
sys.argv = ["program", "--help"]
if {missing}:
    sys.modules[{package!r}] = None
from {start} import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    if missing:
        assert done.returncode == 2
        assert f"The package '{package}' is not installed." in done.stderr
        assert f"pip install 'edge-runtime[{extra}]'" in done.stderr
    else:
        assert done.returncode == 0
        assert "Commands" in done.stdout
