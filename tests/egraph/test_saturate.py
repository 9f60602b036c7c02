"""Limits, stop reasons, back-off, facts, errors, interruption and determinism of saturation."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from saturax.egraph import (
    IterationReport,
    Limits,
    PatternAttribute,
    PatternNode,
    Recipe,
    RecipeStep,
    RuleApplicationError,
    RuleTypeError,
    StopReason,
    explain,
    saturate,
)
from saturax.egraph.left_side import Answers, LeftSide
from saturax.egraph.matcher import Match
from saturax.errors import RuleError

from .terms import (
    ADD_ZERO,
    ASSOCIATE,
    CANCEL,
    HOIST_NEGATE,
    NEGATE_TWICE,
    RULES,
    TemplateRule,
    constant,
    insert,
    leaf,
    make_egraph,
    op,
    unary,
)
from .test_egraph import ConstantAnalysis


def summed(count: int) -> PatternNode:
    """A left-leaning sum of distinct leaves."""
    term = leaf("x0")
    for index in range(1, count):
        term = op("add", term, leaf(f"x{index}"))
    return term


@dataclass
class CallRule:
    """A rule whose right side is any function; counts its calls."""

    pattern: PatternNode
    right: Callable[..., Recipe | None]
    name: str = "call"
    uses_facts: bool = False
    only_merges: bool = False
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def recipe(
        self,
        attributes: Mapping[str, Any],
        operand_types: Mapping[str, Any],
        root_type: Any,
        facts: Mapping[str, Any] | None = None,
    ) -> Recipe | None:
        self.calls.append((dict(attributes), dict(operand_types), root_type, facts))
        return self.right(*self.calls[-1])


def test_associative_sums_have_known_counts() -> None:
    # Subsets of n leaves are classes; splits of a subset into two are e-nodes.
    for count in (3, 4, 5, 6):
        egraph = make_egraph()
        insert(egraph, summed(count))
        report = saturate(egraph, [ASSOCIATE], Limits())
        assert report.stop_reason is StopReason.SATURATED
        assert report.classes == 2**count - 1
        assert report.nodes == (3**count - 2 ** (count + 1) + 1) // 2 + count


def test_statistics_and_progress() -> None:
    egraph = make_egraph()
    insert(egraph, unary("negate", unary("negate", op("add", leaf("a"), constant(0)))))
    seen: list[IterationReport] = []
    report = saturate(egraph, [ADD_ZERO, NEGATE_TWICE], Limits(), on_iteration=seen.append)
    assert report.is_rebuilt
    assert [s.iteration for s in seen] == list(range(1, report.iterations + 1))
    assert (seen[-1].nodes, seen[-1].classes) == (report.nodes, report.classes)
    zero, twice = report.rules["add_zero"], report.rules["negate_twice"]
    assert (zero.unions, twice.unions) == (1, 1)
    assert zero.matches >= zero.applied >= 1
    assert twice.times_banned == 0


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(node_limit=500), StopReason.NODE_LIMIT),
        (Limits(made_limit=500), StopReason.MEMORY_LIMIT),
        (Limits(iteration_limit=2), StopReason.ITERATION_LIMIT),
        (Limits(time_limit_s=0), StopReason.TIME_LIMIT),
        (Limits(time_limit_s=0.02), StopReason.TIME_LIMIT),
    ],
)
def test_stop_reasons(limits: Limits, reason: StopReason) -> None:
    egraph = make_egraph()
    insert(egraph, summed(20))
    report = saturate(egraph, [ASSOCIATE], limits)
    assert report.stop_reason is reason
    assert report.nodes <= limits.node_limit + 2


def test_small_egraphs_may_take_more_iterations() -> None:
    def iterations(terms: int, **more: int) -> int:
        egraph = make_egraph()
        insert(egraph, summed(terms))
        return saturate(egraph, [ASSOCIATE], Limits(iteration_limit=1, **more)).iterations

    if_small = {"small_nodes": 200, "iteration_limit_if_small": 4}
    assert iterations(20) == 1
    assert iterations(5, **if_small) == 4
    assert iterations(20, **if_small) == 2  # then it has grown
    assert iterations(40, **if_small) == 1


def test_no_time_means_no_work() -> None:
    egraph = make_egraph()
    insert(egraph, summed(5))
    report = saturate(egraph, RULES, Limits(time_limit_s=0))
    assert (report.iterations, report.nodes) == (0, 9)


def test_no_rules_saturate_at_once() -> None:
    assert saturate(make_egraph(), [], Limits()).stop_reason is StopReason.SATURATED


def test_the_deadline_cuts_through_all_phases() -> None:
    # A clock that advances by a fixed amount per look stops the run at every possible point.
    for looks in range(1, 60):
        ticks = itertools.count()
        egraph = make_egraph()
        insert(egraph, summed(7))
        limits = Limits(time_limit_s=looks, matches_per_rule=50, rebuild_grace_s=1e9)
        report = saturate(egraph, [ASSOCIATE, *RULES[1:]], limits, clock=partial(next, ticks))
        assert report.stop_reason is StopReason.TIME_LIMIT
        assert report.is_rebuilt
        assert sum(len(egraph.nodes(id)) for id in egraph.classes()) == report.nodes


def test_a_barren_search_honours_the_deadline() -> None:
    # Every pair of e-nodes is tried, but none fits: only the fuel of the loops can stop this.
    egraph = make_egraph()
    first = insert(egraph, leaf("a"))
    for index in range(1, 6000):
        other = egraph.add("unary", (index,), (first,), "i32")
        egraph.union(first, other, "test")
    insert(egraph, unary("s", leaf("b")))
    egraph.rebuild()
    barren = unary("p", unary("q", unary("r", unary("s", "x"))))
    rule = CallRule(_generalised(barren), lambda *_: None)
    begin = time.perf_counter()
    report = saturate(egraph, [rule], Limits(time_limit_s=0.2))
    assert report.stop_reason is StopReason.TIME_LIMIT
    assert time.perf_counter() - begin < 2


def _generalised(term: PatternNode) -> PatternNode:
    """Replace literals by attribute variables, but the innermost, which no e-node there has."""
    (below,) = term.operands
    if not isinstance(below, PatternNode):
        return term
    return PatternNode("unary", (PatternAttribute(term.attributes[0]),), (_generalised(below),))


def test_back_off_bans_and_still_saturates() -> None:
    egraph = make_egraph()
    insert(egraph, summed(6))
    report = saturate(egraph, [ASSOCIATE, ADD_ZERO], Limits(matches_per_rule=4, ban_length=2))
    assert report.stop_reason is StopReason.SATURATED
    assert report.nodes == (3**6 - 2**7 + 1) // 2 + 6
    assert report.rules["associate"].times_banned >= 3
    assert report.rules["add_zero"].times_banned == 0


def test_a_banned_rule_is_not_taken_for_saturation() -> None:
    egraph = make_egraph()
    insert(egraph, summed(6))
    limits = Limits(matches_per_rule=4, ban_length=50, iteration_limit=2)
    report = saturate(egraph, [ASSOCIATE], limits)
    assert report.stop_reason is StopReason.ITERATION_LIMIT


@pytest.mark.parametrize(("iterations", "matches"), [(6, 4), (7, 4 + 8), (17, 4 + 8), (18, 28)])
def test_a_banned_rule_rests_while_others_work(iterations: int, matches: int) -> None:
    egraph = make_egraph()
    insert(egraph, op("subtract", summed(8), unary("f", leaf("a"))))
    busy = TemplateRule("busy", unary("f", "x"), unary("f", unary("g", "x")))
    limits = Limits(matches_per_rule=4, ban_length=5, iteration_limit=iterations)
    report = saturate(egraph, [ASSOCIATE, busy], limits)
    assert report.rules["associate"].matches == matches


def test_matches_per_rule_is_a_hard_cap_per_iteration() -> None:
    egraph = make_egraph()
    insert(egraph, summed(12))
    report = saturate(egraph, [ASSOCIATE], Limits(matches_per_rule=7, iteration_limit=1))
    assert report.rules["associate"].matches == 7


def test_a_rule_that_only_merges_applies_where_its_right_side_is_there() -> None:
    # -(a + b) and -a + -b, of which the second is complete only once -(-(-b)) is known to be -b.
    push = TemplateRule(
        "push",
        unary("negate", op("add", "x", "y")),
        op("add", unary("negate", "x"), unary("negate", "y")),
        only_merges=True,
    )
    egraph = make_egraph()
    left = insert(egraph, unary("negate", op("add", leaf("a"), leaf("b"))))
    negated = insert(egraph, unary("negate", leaf("a")))
    other = insert(egraph, unary("negate", unary("negate", unary("negate", leaf("b")))))
    nodes = egraph.node_count
    assert saturate(egraph, [push], Limits()).nodes == nodes, "nothing is added"
    right = egraph.add("binary", ("add",), (negated, other), "i32")
    saturate(egraph, [push], Limits())
    assert egraph.find(left) != egraph.find(right)
    pull = replace(push, name="pull", pattern=push.right, right=push.pattern)
    saturate(egraph, [push, pull, NEGATE_TWICE], Limits())
    assert egraph.find(left) == egraph.find(right)
    assert {"push", "pull"} & {step.reason for step in explain(egraph, left, right)}


def test_the_right_side_runs_once_per_key() -> None:
    egraph = make_egraph()
    for index in range(50):
        for type in ("i32", "f32"):
            insert(egraph, unary("negate", unary("negate", leaf(f"x{index}"))), type)
    rule = CallRule(NEGATE_TWICE.pattern, lambda *_: Recipe((), "x"))
    report = saturate(egraph, [rule], Limits())
    assert report.rules["call"].unions == 100
    assert rule.calls == [({}, {"x": t}, t, None) for t in ("i32", "f32")]


def test_rules_that_use_facts_see_them_and_their_changes() -> None:
    def fold(
        attributes: dict[str, Any], types: dict[str, Any], type: Any, facts: dict[str, Any]
    ) -> Recipe | None:
        if None in facts.values():
            return None
        step = RecipeStep("constant", (facts["x"] * facts["y"],), (), type)
        return Recipe((step,), 0)

    class Facts(ConstantAnalysis):
        def modify(self, egraph: Any, class_id: int) -> None:
            """Leave folding to the rule."""

    egraph = make_egraph(Facts())
    zero_added = op("multiply", op("add", constant(6), constant(0)), constant(7))
    late = op("multiply", unary("negate", unary("negate", leaf("late"))), constant(7))
    ids = [insert(egraph, zero_added), insert(egraph, late)]
    learn = CallRule(
        unary("negate", leaf("late")),
        lambda *_: Recipe((RecipeStep("constant", (3,), (), "i32"),), 0),
        name="learn",
    )
    rule = CallRule(op("multiply", "x", "y"), fold, name="fold", uses_facts=True)
    saturate(egraph, [rule, learn], Limits())
    assert egraph.find(ids[0]) == insert(egraph, constant(42))
    assert egraph.find(ids[1]) == insert(egraph, constant(-21))


def test_answers_hold_for_what_was_known_when_a_match_was_found() -> None:
    """Facts that come up while matches are applied are not remembered for matches without them."""

    def name_facts(
        _: dict[str, Any], __: dict[str, Any], type: Any, facts: dict[str, Any]
    ) -> Recipe:
        return Recipe((RecipeStep("told", (facts["x"],), ("x",), type),), 0)

    class Facts(ConstantAnalysis):
        def modify(self, egraph: Any, class_id: int) -> None:
            """Add nothing."""

    egraph = make_egraph(Facts())
    ids = [insert(egraph, unary("f", leaf(name))) for name in ("late", "never")]
    three = Recipe((RecipeStep("constant", (3,), (), "i32"),), 0)
    learn = CallRule(leaf("late"), lambda *_: three, name="learn")
    tell = CallRule(unary("f", "x"), name_facts, name="tell", uses_facts=True)
    saturate(egraph, [learn, tell], Limits())
    told = [{n.attributes[0] for n in egraph.nodes_of(id, "told")} for id in ids]
    assert told == [{None, 3}, {None}]


def test_rules_are_asked_again_where_they_read_more_than_the_outline() -> None:
    class Signs(ConstantAnalysis):
        def modify(self, egraph: Any, class_id: int) -> None:
            """Add nothing."""

        def outline(self, data: Any) -> bool:
            """Whether a number is negative."""
            return data is not None and data < 0

    def by_sign(_: Any, __: Any, type: Any, facts: Any) -> Recipe:
        facts.is_outline_enough = True
        is_negative = facts["x"] is not None and facts["x"] < 0
        return Recipe((RecipeStep("told", (is_negative,), ("x",), type),), 0)

    def by_value(_: Any, __: Any, type: Any, facts: Any) -> Recipe:
        facts.is_outline_enough = is_read_by_sign = facts["x"] is not None and facts["x"] < 0
        told = "negative" if is_read_by_sign else facts["x"]
        return Recipe((RecipeStep("told", (told,), ("x",), type),), 0)

    values = (3, 4, -5, -6)
    for right, calls, expected in (
        (by_sign, 2, [False, False, True, True]),
        (by_value, 3, [3, 4, "negative", "negative"]),
    ):
        egraph = make_egraph(Signs())
        ids = [insert(egraph, unary("f", constant(value))) for value in values]
        rule = CallRule(unary("f", "x"), right, name="tell", uses_facts=True)
        saturate(egraph, [rule], Limits())
        assert len(rule.calls) == calls
        told = [node.attributes[0] for id in ids for node in egraph.nodes_of(id, "told")]
        assert told == expected


@pytest.mark.parametrize(
    ("left", "matches"),
    [
        (op("subtract", "x", "y"), 501),
        (op("subtract", unary(PatternAttribute("f"), "x"), "y"), 502),
    ],
)
def test_a_small_change_costs_little(
    left: PatternNode, matches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    egraph = make_egraph()
    for index in range(500):
        insert(egraph, op("subtract", unary(f"f{index}", leaf("a")), unary("g", leaf("b"))))
    last = op("subtract", unary("negate", unary("negate", leaf("b"))), leaf("b"))
    root = insert(egraph, last)
    counting, seen = TemplateRule("counting", left, left), 0

    def is_useful(self: LeftSide, answers: Answers, match: Match) -> Answers | None:
        nonlocal seen
        seen += self.rules[0] is counting
        return find_useful(self, answers, match)

    find_useful = LeftSide._useful
    monkeypatch.setattr(LeftSide, "_useful", is_useful)
    report = saturate(egraph, [counting, NEGATE_TWICE, CANCEL], Limits())
    assert egraph.find(root) == insert(egraph, constant(0))
    # 501 matches at first, then again only the one whose operand changed, where that can matter;
    # both sides of all of them are one class already.
    assert seen == matches
    assert report.rules["counting"].matches == 0


def test_an_exception_names_the_rule() -> None:
    egraph = make_egraph()
    insert(egraph, unary("negate", leaf("a")))

    def divide(*_: Any) -> Recipe:
        raise ZeroDivisionError

    rule = CallRule(unary("negate", "x"), divide, name="divide")
    with pytest.raises(RuleApplicationError, match=r"rule divide: .* ZeroDivisionError") as caught:
        saturate(egraph, [rule], Limits())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_errors_that_name_the_rule_name_it_once() -> None:
    def fail(*_: Any) -> Recipe:
        raise RuleError("rule r: why")

    egraph = make_egraph()
    insert(egraph, unary("negate", leaf("a")))
    with pytest.raises(RuleError, match=r"^rule r: why$"):
        saturate(egraph, [CallRule(unary("negate", "x"), fail, name="r")], Limits())


def test_a_wrong_type_names_rule_and_types() -> None:
    egraph = make_egraph()
    insert(egraph, unary("negate", leaf("a")))
    recipe = Recipe((RecipeStep("convert", (), ("x",), "f32"),), 0)
    rule = CallRule(unary("negate", "x"), lambda *_: recipe, name="retype")
    with pytest.raises(RuleTypeError, match=r"retype: the left side has type i32 .* type f32"):
        saturate(egraph, [rule], Limits())


@pytest.mark.parametrize("result", ["y", 0])
def test_a_recipe_with_unknown_names_is_refused(result: str | int) -> None:
    egraph = make_egraph()
    insert(egraph, unary("negate", leaf("a")))
    rule = CallRule(unary("negate", "x"), lambda *_: Recipe((), result))
    with pytest.raises(RuleApplicationError, match=rf"refers to {result!r}"):
        saturate(egraph, [rule], Limits())


def test_rule_names_are_unique() -> None:
    with pytest.raises(ValueError, match=r"occur twice: associate"):
        saturate(make_egraph(), [ASSOCIATE, ASSOCIATE], Limits())


def test_interruption_by_a_callback_leaves_a_good_egraph() -> None:
    def interrupt(report: IterationReport) -> None:
        if report.iteration == 3:
            raise KeyboardInterrupt

    egraph = make_egraph()
    insert(egraph, summed(20))
    report = saturate(egraph, [ASSOCIATE], Limits(), on_iteration=interrupt)
    assert report.stop_reason is StopReason.INTERRUPTED
    assert report.is_rebuilt
    assert egraph.is_rebuilt


def test_control_c_ends_the_run_quickly() -> None:
    egraph = make_egraph()
    insert(egraph, summed(20))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        report = saturate(egraph, [ASSOCIATE], Limits(time_limit_s=30, node_limit=10**7))
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert report.stop_reason is StopReason.INTERRUPTED
    assert report.is_rebuilt
    assert report.seconds < 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_rule_with_attribute_variables() -> None:
    egraph = make_egraph()
    same = insert(egraph, op("multiply", unary("f", leaf("a")), unary("f", leaf("b"))))
    other = insert(egraph, op("multiply", unary("f", leaf("a")), unary("g", leaf("b"))))
    saturate(egraph, [HOIST_NEGATE], Limits())
    product = insert(egraph, op("multiply", leaf("a"), leaf("b")))
    assert egraph.find(same) == product
    assert egraph.find(other) != product


@pytest.mark.parametrize(
    ("name", "value"), [("time_limit_s", -1), ("node_limit", -1), ("matches_per_rule", 0)]
)
def test_limits_are_checked(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be at least"):
        Limits(**{name: value})


DETERMINISM = """
from saturax.egraph import Limits, explain, saturate
from tests.egraph.terms import RULES, insert, leaf, make_egraph, op
egraph = make_egraph()
a, b, c = leaf("a"), leaf("b"), leaf("c")
root = insert(egraph, op("multiply", op("add", a, op("add", b, c)), op("subtract", a, b)))
saturate(egraph, RULES, Limits(node_limit=3000, time_limit_s=60, matches_per_rule=100))
print([(id, egraph.nodes(id)) for id in egraph.classes()])
print(explain(egraph, root, egraph.nodes(root)[-1].id))
"""


def test_nothing_depends_on_the_hash_seed() -> None:
    outputs = set()
    root = Path(__file__).parents[2]
    for seed in ("0", "1", "2"):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}",
        }
        done = subprocess.run(
            [sys.executable, "-c", DETERMINISM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000
