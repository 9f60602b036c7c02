"""Choosing among whole programs: how long the last race takes."""

from __future__ import annotations

import pytest

from saturax import Options, selection
from saturax.report.model import CandidateReport, Report
from saturax.run import Run


@pytest.mark.parametrize(
    ("time_us", "ratio", "limit_s", "seconds"),
    [
        (None, None, 60.0, 4.0),
        (100.0, 1.5, 60.0, 4.0),
        (100_000.0, 1.5, 60.0, 8.5),
        (100_000.0, 1.5, 20.0, 6.0),
        (400_000.0, 1.2, 60.0, 18.0),
        (900_000.0, 1.2, 60.0, 14 * 1.98),  # the first 12 pairs that can decide, 2 to warm up
        (900_000.0, 1.2, 30.0, 15.0),
        (900_000.0, 1.2, 2.0, 4.0),
    ],
)
def test_the_last_race_of_long_programs_is_longer(time_us, ratio, limit_s, seconds):
    options = Options(time_limit_s=limit_s)
    run = Run(options, Report("program"), lambda stage, detail: None)
    candidate = CandidateReport("best", 1.0, 1, time_us=time_us, ratio=ratio)
    assert selection._confirmation_s(run, candidate) == pytest.approx(seconds)
