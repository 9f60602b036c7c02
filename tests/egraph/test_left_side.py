"""Left sides: which rules share one, and when there can be a match at all."""

from typing import Any

import pytest

from saturax.egraph import (
    Limits,
    Matcher,
    PatternAttribute,
    PatternNode,
    PatternVar,
    Recipe,
    pattern,
    saturate,
)
from saturax.egraph.heads import Heads, kind_index
from saturax.egraph.left_side import Left, LeftSide, left_sides
from saturax.egraph.reach import Reach
from saturax.egraph.saturate import _Run

from .terms import constant, insert, leaf, make_egraph, op, unary
from .test_saturate import CallRule


def _is_rare(value: Any) -> bool:
    return bool(value == "rare")


F, G = PatternAttribute("f"), PatternAttribute("g")
RARE = PatternAttribute("f", admits=_is_rare)
WHOLE = PatternVar("x", no_result_of="unary")
NAMED = PatternAttribute("f", ("convert", PatternAttribute("t")))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pattern("unary", "x", at=F), pattern("unary", "y", at=G)),
        (pattern("binary", "x", "x", at="add"), pattern("binary", "f", "f", at="add")),
        (pattern("unary", "x", at=RARE), pattern("unary", "x", at=RARE)),
        (
            pattern("unary", "x", at=NAMED),
            pattern("unary", "x", at=PatternAttribute("g", ("convert", PatternAttribute("u")))),
        ),
    ],
)
def test_names_of_variables_do_not_matter(left: PatternNode, right: PatternNode) -> None:
    assert len(left_sides([CallRule(left, lambda *_: None), CallRule(right, lambda *_: None)])) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pattern("binary", "x", "x", at=F), pattern("binary", "x", "y", at=F)),
        (pattern("constant", at=0), pattern("constant", at=False)),
        (pattern("unary", "x", at=F), pattern("unary", "x", at=RARE)),
        (pattern("unary", "x", at=F), pattern("unary", WHOLE, at=F)),
        (pattern("unary", "x", at=F), pattern("unary", "x", at=NAMED)),
        (pattern("pair", "x", at=(F, F)), pattern("pair", "x", at=(F, G))),
    ],
)
def test_what_matches_differently_is_kept_apart(left: PatternNode, right: PatternNode) -> None:
    assert len(left_sides([CallRule(left, lambda *_: None), CallRule(right, lambda *_: None)])) == 2


def test_rules_that_ask_for_facts_or_only_merge_are_kept_apart() -> None:
    rules = [
        CallRule(pattern("unary", "x", at=F), lambda *_: None, uses_facts=facts, only_merges=merges)
        for facts in (False, True)
        for merges in (False, True)
    ]
    assert [len(side.rules) for side in left_sides(rules)] == [1, 1, 1, 1]


def test_each_rule_of_a_left_side_answers_for_itself() -> None:
    egraph = make_egraph()
    for index in range(20):
        insert(egraph, op("add", leaf(f"x{index}"), constant(0)))
    lonely = pattern("binary", "x", pattern("constant", at=(0,)), at="add")
    other = pattern("binary", "y", pattern("constant", at=(0,)), at="add")
    rules = [
        CallRule(lonely, lambda *_: Recipe((), "x"), "drops"),
        CallRule(other, lambda *_: Recipe((), "y"), "drops too"),
        CallRule(other, lambda *_: None, "refuses"),
    ]
    assert len(left_sides(rules)) == 1
    report = saturate(egraph, rules, Limits())
    found = {name: (each.matches, each.unions) for name, each in report.rules.items()}
    assert found == {"drops": (20, 20), "drops too": (20, 0), "refuses": (0, 0)}
    assert [set(rule.calls[0][1]) for rule in rules] == [{"x"}, {"y"}, {"y"}]


def test_a_rule_is_not_looked_for_before_there_is_what_it_needs() -> None:
    egraph = make_egraph()
    root = insert(egraph, op("add", unary("common", leaf("a")), leaf("b")))
    rule = CallRule(
        pattern("binary", pattern("unary", "x", at=RARE), "y", at="add"), lambda *_: Recipe((), "y")
    )
    run = _Run(egraph, [rule], Limits(), lambda: 0.0, None)
    side = LeftSide(Left([rule]), egraph, Reach(egraph, egraph.live_nodes()), run._new_heads())
    assert not side.has_work
    assert not side.may_match(run._new_heads())
    insert(egraph, unary("rare", leaf("b")))
    assert side.may_match(run._new_heads())
    assert side.may_match({}), "what is there stays there"
    assert saturate(egraph, [rule], Limits()).rules["call"].matches == 0
    egraph.union(insert(egraph, unary("rare", leaf("b"))), insert(egraph, leaf("b")), "test")
    egraph.rebuild()
    assert saturate(egraph, [rule], Limits()).rules["call"].unions == 1
    assert egraph.find(root) == egraph.find(insert(egraph, unary("common", leaf("a"))))


def test_functions_with_parameters_are_kinds_by_their_name() -> None:
    heads = Heads(lambda *_: False, lambda *_: False, lambda *_: frozenset())
    first, second, third, fourth = (
        heads.index("unary", (f,), 1, "f32")
        for f in (("convert", "f16"), ("convert", "f32"), "convert", ("clip", 0.0))
    )
    assert heads.kind[first] == heads.kind[second] != heads.kind[third]
    assert heads.kind[first] != heads.kind[fourth]
    assert heads.kind[first] == kind_index("unary", 1, 1, ("convert", PatternAttribute("t")))


def test_a_variable_may_leave_out_what_an_operation_makes() -> None:
    """It still stands for a class of which the operation makes nothing new."""
    egraph = make_egraph()
    a, b = leaf("a"), leaf("b")
    insert(egraph, unary("negate", unary("abs", a)))
    insert(egraph, op("add", unary("abs", a), b))
    egraph.union(insert(egraph, unary("keep", b)), insert(egraph, b), "test")
    egraph.rebuild()
    found = {
        egraph.find(match[-1])
        for left in (pattern("unary", WHOLE, at=F), pattern("binary", "y", WHOLE, at="add"))
        for match in Matcher(left, egraph).all_matches(egraph)
    }
    assert found == {insert(egraph, a), insert(egraph, b)}
