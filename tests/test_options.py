"""Options are checked when they are made."""

import dataclasses

import pytest

import saturax
from saturax import Options, OptionsError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"numerics": "exact"}, "numerics: expected one of bitwise, rounding"),
        ({"extraction": "best"}, "extraction: expected one of global, greedy, got 'best'"),
        ({"time_limit_s": -1}, "time_limit_s: expected a number of at least 0, got -1"),
        ({"time_limit_s": float("nan")}, "time_limit_s"),
        ({"time_limit_s": "10"}, "time_limit_s: expected a number of at least 0, got '10'"),
        ({"candidates": 0}, "candidates: expected an integer of at least 1, got 0"),
        ({"candidates": 2.5}, "candidates"),
        ({"node_limit": 0}, "node_limit"),
        ({"rules": "layout"}, "rules: expected a tuple of names, got the text 'layout'"),
        ({"measure": "no"}, "measure: expected True or False, got 'no'"),
        ({"database": "prices"}, "database: expected a file as a pathlib.Path"),
        ({"rules": ("layout", "magic")}, "rules: no such family: magic; there are .*layout"),
    ],
)
def test_wrong_values(values, message):
    with pytest.raises(OptionsError, match=message):
        Options(**values)


@pytest.mark.parametrize("use", [saturax.jit, saturax.optimize, saturax.freeze, saturax.install])
def test_options_of_another_kind(use):
    arguments = [] if use is saturax.install else [abs, 1.0]
    with pytest.raises(OptionsError, match=r"options: expected saturax.Options\(…\), got dict"):
        use(*arguments[: 1 if use is saturax.jit else 2], options={"time_limit_s": 3})


def test_defaults_are_valid_and_frozen():
    options = Options()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.seed = 1
    assert Options(rules=("layout",), time_limit_s=0).rules == ("layout",)
