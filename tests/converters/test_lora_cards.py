"""Two processes train one adapter together, as with two graphics cards, here on the processor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tuning_kit import losses

from converters import children
from converters.errors import ConversionError
from converters.lora import LoraSettings, train_lora

SETTINGS = LoraSettings(epochs=2, learning_rate=1e-2, max_length=64)


@pytest.fixture
def _two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_cards", lambda: 2)


@pytest.mark.usefixtures("_two_cards")
def test_two_share_the_work(base: Path, talk: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    out = tmp_path / "out"
    made = train_lora(
        base, talk, out, SETTINGS, threads=1, progress=lambda _, done, *more: seen.append(done)
    )
    # Each takes half of the 31 lines, four at a time, twice.
    assert made.steps == 8
    assert [point["step"] for point in losses(out)] == list(range(1, 9))
    assert seen == sorted(seen)
    assert len(seen) <= 10
    assert made.after < made.before


@pytest.mark.usefixtures("_two_cards")
@pytest.mark.parametrize(
    ("module", "said"), [("lm_head", "shares its weights"), ("c_attn", "Error: .*c_attn")]
)
def test_the_reason_outlasts_the_launchers_words(
    base: Path, talk: Path, tmp_path: Path, module: str, said: str
) -> None:
    wrong = replace(SETTINGS, modules=(module,))
    with pytest.raises(ConversionError, match=said) as caught:
        train_lora(base, talk, tmp_path / "out", wrong, threads=1)
    assert "\n" not in caught.value.message
