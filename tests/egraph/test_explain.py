"""Proofs: what the rules can and cannot prove, and which rules an explanation names."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saturax.egraph import (
    INPUT,
    EGraph,
    Limits,
    Matcher,
    PatternNode,
    explain,
    rules_between,
    saturate,
)
from saturax.egraph.application import RuleApplication
from saturax.egraph.explain import _premises

from .terms import (
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
from .test_brute_force import TERMS

A, B, C, D = map(leaf, "abcd")
ZERO, ONE = constant(0), constant(1)


def saturated(*terms: PatternNode) -> EGraph:
    egraph = make_egraph()
    for term in terms:
        insert(egraph, term)
    saturate(egraph, RULES, Limits(node_limit=3000, time_limit_s=20))
    return egraph


PROVABLE = [
    (op("add", op("add", A, B), op("add", C, D)), op("add", op("add", D, B), op("add", C, A))),
    (op("multiply", A, op("add", B, C)), op("add", op("multiply", C, A), op("multiply", A, B))),
    (op("add", A, op("subtract", B, B)), A),
    (op("subtract", op("add", A, B), B), A),
    (op("subtract", A, unary("negate", B)), op("add", B, A)),
    (op("multiply", ONE, op("add", ZERO, A)), A),
    (unary("f", unary("negate", unary("negate", A))), unary("f", op("add", A, ZERO))),
]
NOT_PROVABLE = [
    (op("subtract", A, B), op("subtract", B, A)),
    (op("add", A, B), op("multiply", A, B)),
    (op("subtract", A, op("subtract", B, C)), op("subtract", op("subtract", A, B), C)),
    (unary("negate", A), A),
    (unary("f", op("add", A, B)), op("add", unary("f", A), unary("f", B))),
    (op("multiply", A, A), A),
]


@pytest.mark.parametrize(("start", "goal"), PROVABLE)
def test_provable(start: PatternNode, goal: PatternNode) -> None:
    egraph = saturated(start, goal)
    assert insert(egraph, start) == insert(egraph, goal)


@pytest.mark.parametrize(("start", "goal"), NOT_PROVABLE)
def test_not_provable(start: PatternNode, goal: PatternNode) -> None:
    egraph = saturated(start, goal)
    assert insert(egraph, start) != insert(egraph, goal)


def proof_rules(start: PatternNode, goal: PatternNode) -> set[str]:
    egraph = make_egraph()
    left, right = insert(egraph, start), insert(egraph, goal)
    saturate(egraph, RULES, Limits(node_limit=3000, time_limit_s=20))
    return {step.reason for step in explain(egraph, left, right) if not step.is_congruence}


@pytest.mark.parametrize(
    ("start", "goal", "rules"),
    [
        (op("add", A, ZERO), A, {"add_zero"}),
        (op("add", A, op("subtract", B, B)), A, {"cancel", "add_zero"}),
        (
            unary("f", unary("negate", unary("negate", A))),
            unary("f", op("multiply", A, ONE)),
            {"negate_twice", "multiply_one"},
        ),
        # The two rules meet inside one match: the root rule relies on an inner equality.
        (
            op("add", A, unary("negate", op("add", A, ZERO))),
            ZERO,
            {"add_negated", "add_zero"},
        ),
    ],
)
def test_explanations_name_exactly_the_rules_needed(
    start: PatternNode, goal: PatternNode, rules: set[str]
) -> None:
    assert proof_rules(start, goal) == rules


def test_steps_form_a_chain_with_directions() -> None:
    egraph = make_egraph()
    left = insert(egraph, unary("negate", unary("negate", A)))
    right = insert(egraph, op("add", A, ZERO))
    saturate(egraph, RULES[:1] + RULES[3:], Limits(node_limit=500))
    chain = [step for step in explain(egraph, left, right) if step.depth == 0]
    assert chain[0].left == left
    assert chain[-1].right == right
    for earlier, later in itertools.pairwise(chain):
        assert earlier.right == later.left
    backwards = [step for step in explain(egraph, right, left) if step.depth == 0]
    assert [(s.right, s.left, not s.is_forward) for s in reversed(backwards)] == [
        (s.left, s.right, s.is_forward) for s in chain
    ]


def test_what_is_not_equal_is_not_explained() -> None:
    egraph = make_egraph()
    a, b = insert(egraph, A), insert(egraph, B)
    assert explain(egraph, a, a) == ()
    with pytest.raises(ValueError, match="different classes"):
        explain(egraph, a, b)


def test_explanations_stay_small() -> None:
    # Without deduplication, doubling 40 times would expand to 2**40 steps.
    egraph = make_egraph()
    left, right = insert(egraph, A), insert(egraph, B)
    bottom = left, right
    for _ in range(40):
        left = egraph.add("binary", ("subtract",), (left, left), "i32")
        right = egraph.add("binary", ("subtract",), (right, right), "i32")
    egraph.union(*bottom, "assumed")
    egraph.rebuild()
    steps = explain(egraph, left, right)
    assert len(steps) <= 100
    assert [s.reason for s in steps if not s.is_congruence] == ["assumed"]


def replayed(egraph: EGraph) -> tuple[EGraph, list[int]]:
    """Every e-node ever made, without any union; and the new ids by the old ones."""
    replay = make_egraph()
    ids: list[int] = []
    for head, *children in egraph.original:
        name, attributes = egraph.heads.op[head], egraph.heads.attributes[head]
        ids.append(
            replay.add_node(name, attributes, tuple(ids[child] for child in children), "i32")
        )
    return replay, ids


def apply_at(egraph: EGraph, rule: TemplateRule, root: int) -> None:
    """Apply a rule wherever it matches at one class."""
    matcher = Matcher(rule.pattern, egraph)
    application = RuleApplication(rule, egraph, matcher)
    # The e-node itself may have merged with a twin, so the class is what counts.
    for match in [m for m in matcher.all_matches(egraph) if egraph.find(m[0]) == egraph.find(root)]:
        recipe = application.recipe_of(matcher.key_of(egraph, match), match)
        if recipe is not None:
            application.apply(recipe, match)
    egraph.rebuild()


@settings(max_examples=40, deadline=None)
@given(st.lists(TERMS, min_size=1, max_size=2), st.integers(0, 7))
def test_every_step_follows_from_its_premises_alone(terms: list[PatternNode], skip: int) -> None:
    egraph = make_egraph()
    for term in terms:
        insert(egraph, term)
    saturate(egraph, RULES, Limits(node_limit=60, time_limit_s=5))
    rules = {rule.name: rule for rule in RULES}
    for node, edge in list(enumerate(egraph.proof.edges))[skip::8]:
        if edge is None:
            continue
        replay, ids = replayed(egraph)
        left, right = (edge.target, node) if edge.is_reversed else (node, edge.target)
        for a, b in _premises(egraph, node, edge):
            assert egraph.find(a) == egraph.find(b)
            replay.union(ids[a], ids[b], "premise")
        replay.rebuild()
        if edge.reason in rules:
            apply_at(replay, rules[edge.reason], ids[left])
        assert replay.find(ids[left]) == replay.find(ids[right])


@settings(max_examples=60, deadline=None)
@given(st.lists(TERMS, min_size=1, max_size=2))
def test_explanations_suffice(terms: list[PatternNode]) -> None:
    """The equations that an explanation lists prove the equality by congruence alone."""
    egraph = make_egraph()
    roots = [insert(egraph, term) for term in terms]
    saturate(egraph, RULES, Limits(node_limit=100, time_limit_s=5))
    for root in roots:
        for node in egraph.nodes(root):
            replay, ids = replayed(egraph)
            for step in explain(egraph, root, node.id):
                assert egraph.find(step.left) == egraph.find(step.right)
                if not step.is_congruence:
                    replay.union(ids[step.left], ids[step.right], step.reason)
            replay.rebuild()
            assert replay.find(ids[root]) == replay.find(ids[node.id])


def test_operands_that_swapped_places_are_paired_rightly() -> None:
    egraph = make_egraph()
    b, z, c = (insert(egraph, leaf(name)) for name in "bzc")
    left = egraph.add("binary", ("add",), (b, z), "i32")
    right = egraph.add("binary", ("add",), (z, c), "i32")
    egraph.union(b, c, "assumed")
    egraph.rebuild()
    assert [step.reason for step in explain(egraph, left, right)][1:] == ["assumed"]
    (source,) = (node for node in (left, right) if egraph.proof.edges[node] is not None)
    edge = egraph.proof.edges[source]
    assert edge is not None
    assert {frozenset(pair) for pair in _premises(egraph, source, edge)} == {
        frozenset((b, c)),
        frozenset((z,)),
    }


def test_origins_and_the_rules_between_two_programs() -> None:
    egraph = make_egraph()
    start = op("add", unary("negate", unary("negate", A)), op("subtract", B, ZERO))
    root = insert(egraph, start)
    original = list(range(len(egraph.keys)))
    saturate(egraph, RULES, Limits(node_limit=500))
    assert egraph.origin(root) == INPUT
    goal = insert(egraph, op("add", A, op("add", B, unary("negate", ZERO))))
    assert goal == egraph.find(root)
    chosen = [
        node.id
        for id in (goal, insert(egraph, op("add", B, unary("negate", ZERO))))
        for node in egraph.nodes(id)
        if node.children
        in (
            (insert(egraph, A), insert(egraph, op("add", B, unary("negate", ZERO)))),
            (insert(egraph, B), insert(egraph, unary("negate", ZERO))),
        )
    ]
    rules = rules_between(egraph, original, chosen)
    assert rules["subtract_as_add"] == 1
    assert set(rules) <= {rule.name for rule in RULES}
    assert not rules_between(egraph, original, original)


def test_the_origin_of_a_new_class_counts() -> None:
    egraph = make_egraph()
    root = insert(egraph, op("subtract", A, B))
    original = list(range(len(egraph.keys)))
    saturate(egraph, [NEGATE_TWICE, RULES[7]], Limits())
    nodes = [node.id for id in egraph.classes() for node in egraph.nodes(id)]
    new = [id for id in nodes if id not in original]
    assert len(new) == 2
    assert rules_between(egraph, original, new) == {"subtract_as_add": 2}
    assert egraph.find(root) == egraph.find(max(new))
