"""A step is a process of its own, which starts without what nobody asks of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from converters.children import run_module
from converters.errors import ConversionError
from converters.progress import silent

LOADED = """
import gc, os, sys
from converters import child
try:
    child.main([str(os.getppid()), sys.argv[1], "no job"])
except (OSError, ValueError):
    names = ("boto3", "scipy", "sklearn", "tabulate")
    print([sys.modules.get(name, "free") is None for name in names], gc.isenabled())
"""


@pytest.mark.parametrize(
    ("step", "without"),
    [
        ("converters.llama_quantize", [True] * 4),
        ("converters.encoder.fit", [False] * 4),
    ],
)
def test_only_the_step_that_trains_linear_classifiers_may_load_their_package(
    step: str, without: list[bool]
) -> None:
    command = [sys.executable, "-c", LOADED, step]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{without} True\n"


def test_a_step_that_breaks_down_says_why_in_one_sentence() -> None:
    with pytest.raises(ConversionError, match=r"^It failed while trying: .*JSONDecodeError.*$"):
        run_module("converters.llama_quantize", ["no job"], step="trying", progress=silent)


def test_what_a_step_prints_is_what_it_found() -> None:
    found = run_module("json.tool", ["--help"], step="trying", progress=silent)
    assert found.startswith("usage: ")
