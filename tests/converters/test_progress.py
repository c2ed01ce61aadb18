"""What progress prints where there is no terminal: every step, and how far it is now and then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from converters.progress import Lines


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_step_is_told_once_and_then_how_far_it_is() -> None:
    clock = Clock()
    lines = Lines(clock)
    assert lines.due("tuning", 0.0, "") == "tuning"
    assert lines.due("tuning", 0.5, "step 4 of 8") == ""
    clock.now = 10.0
    assert lines.due("tuning", 0.5, "step 4 of 8, loss 1.250") == (
        "tuning: step 4 of 8, loss 1.250"
    )
    clock.now = 20.0
    assert lines.due("tuning", 0.52, "step 5 of 8") == ""
    clock.now = 70.0
    assert lines.due("tuning", 0.52, "") == "tuning: 52%"
    assert lines.due("merging", 0.52, "") == "merging"


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), max_size=60))
def test_lines_of_one_step_are_ten_seconds_apart_and_never_two_minutes(
    reports: list[tuple[float, float]],
) -> None:
    clock = Clock()
    lines = Lines(clock)
    printed = [0.0]
    lines.due("tuning", 0.0, "")
    for waited, share in reports:
        clock.now += waited
        if lines.due("tuning", share, "x"):
            assert clock.now - printed[-1] >= 10
            printed.append(clock.now)
        # The next report after a minute is told, however little was done.
        assert clock.now - printed[-1] < 60
