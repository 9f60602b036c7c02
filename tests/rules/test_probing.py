"""Which functions a rule can be about: refused only where nothing else is looked at."""

from collections.abc import Callable
from typing import Any

import pytest

from saturax.egraph import PatternAttribute, PatternNode
from saturax.rules import all_rules
from saturax.rules.probing import admission


@pytest.mark.parametrize(
    ("name", "admitted", "refused"),
    [
        ("factor_sum", ["add", "subtract"], ["multiply", "maximum"]),
        ("factor_sum_exactly", ["add", "subtract"], ["multiply", "maximum"]),
        ("factor_lattice", ["maximum", "and"], ["add", "multiply"]),
        ("binary_before_slice", ["add", "maximum", "power"], []),
        ("drop_identity", ["add", ("compare", "EQ", "FLOAT")], ["power"]),
    ],
)
def test_patterns_leave_out_functions_that_their_rules_refuse(
    name: str, admitted: list[Any], refused: list[str]
) -> None:
    (rule,) = [rule for rule in all_rules() if rule.name == name]
    function = rule.pattern.attributes[0]
    assert isinstance(function, PatternAttribute)
    assert all(map(function.fits, admitted))
    assert not any(map(function.fits, refused))


@pytest.mark.parametrize(
    "looks",
    [
        lambda x: isinstance(x, str),
        lambda x: x.shape == (),
        lambda x: x == "add",
        lambda x: x in ("add", "subtract"),
        lambda x: x in {"add"},
        lambda x: {"add": False}.get(x, True),
        lambda x: bool(x),
        lambda x: len(x) > 1,
        lambda x: x + 1 > 0,
        lambda x: f"{x}" == "",
        lambda x: list(x) == [],
        lambda x: x["not a number"],
    ],
)
def test_a_function_is_admitted_where_the_rest_is_looked_at(looks: Callable[[Any], bool]) -> None:
    admits = admission(lambda f, x: f == "f" and looks(x) and False, ("f", "x"), "f")
    assert admits("f")
    assert not admits("g")
    assert admits(("g", 1)), "only names are asked about"


def test_other_attributes_are_asked_about_where_a_rule_says_so() -> None:
    """[x[i:], x[:i]]: what comes second begins at 0."""
    (rule,) = [rule for rule in all_rules() if rule.name == "unary_before_rotation"]
    rolled = rule.pattern.operands[0]
    assert isinstance(rolled, PatternNode)
    first, second = rolled.operands
    assert isinstance(first, PatternNode)
    assert isinstance(second, PatternNode)
    start, begins = first.attributes[0], second.attributes[0]
    assert begins.fits((0, 0))
    assert not begins.fits((0, 1))
    assert start.fits((0, 1))


def test_an_unknown_value_is_no_none() -> None:
    """{…}.get(f) == g: what the table lacks equals no function."""
    admits = admission(lambda f, g: {"tanh": "atanh"}.get(f) == g, ("f", "g"), "f")
    assert admits("tanh")
    assert not admits("add")
