"""A pytest plugin: the tests of any package, with every program that JAX compiles optimised.

    python -m pytest -p benchmarks.installed_plugin path/to/tests

Programs get one second each and nothing comes from the cache on disk; what became of them is
printed at the end of the session.
"""

from __future__ import annotations

from collections import Counter

import pytest

import saturax
from saturax import Options
from saturax.installation import Installation

_OPTIONS = Options(time_limit_s=1.0, cache=False)
_LEAST_OPERATIONS = 20
_INSTALLATION = pytest.StashKey[Installation]()


def pytest_configure(config: pytest.Config) -> None:
    """Install saturax before the first test is imported."""
    config.stash[_INSTALLATION] = saturax.install(
        options=_OPTIONS, minimum_operations=_LEAST_OPERATIONS
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the programs by outcome, and those that were kept by reason."""
    decisions = terminalreporter.config.stash[_INSTALLATION].decisions
    outcomes = Counter(
        "optimized" if d.report and d.report.outcome == "optimized" else "original"
        for d in decisions
    )
    reasons = Counter(
        d.report.reason if d.report else d.reason
        for d in decisions
        if d.report is None or d.report.outcome != "optimized"
    )
    terminalreporter.section("saturax")
    terminalreporter.write_line(f"programs: {len(decisions)} {dict(outcomes)}")
    for reason, count in reasons.most_common(8):
        terminalreporter.write_line(f"{count:5} {reason}")


def pytest_unconfigure() -> None:
    """Leave JAX as it was."""
    saturax.uninstall()
