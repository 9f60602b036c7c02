"""A pytest plugin: the tests of any package, with every program that JAX compiles optimised.

    python -m pytest -p benchmarks.installed_plugin path/to/tests

Programs of `--saturax-operations` operations (default 20) or more get `--saturax-seconds` each
(default 1), and nothing comes from the cache on disk; what became of them is printed at the end of
the session. With `--saturax-predicted`, the program of the best prediction runs, whether or not it
is faster and with no comparison of results before: the tests see what the rules alone make of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

import saturax
from saturax import Options
from saturax.installation import Installation

_INSTALLATION = pytest.StashKey[Installation]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is optimised, and for how long."""
    group = parser.getgroup("saturax")
    group.addoption("--saturax-operations", type=int, default=20)
    group.addoption("--saturax-seconds", type=float, default=1.0)
    group.addoption("--saturax-predicted", action="store_true")


def pytest_configure(config: pytest.Config) -> None:
    """Install saturax before the first test is imported."""
    is_checked = not config.getoption("saturax_predicted")
    config.stash[_INSTALLATION] = saturax.install(
        options=Options(
            time_limit_s=config.getoption("saturax_seconds"),
            cache=False,
            measure=is_checked,
            verify=is_checked,
        ),
        minimum_operations=config.getoption("saturax_operations"),
        deny=(),
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
