"""Hash-consing, congruence, commutativity, types, analyses and origins of the e-graph."""

from typing import Any

import pytest

from saturax.egraph import ANALYSIS, EGraph, TypeClashError, explain
from saturax.errors import RuleError

from .terms import constant, insert, leaf, make_egraph, op, unary


def test_equal_nodes_share_a_class() -> None:
    egraph = make_egraph()
    first = insert(egraph, op("subtract", leaf("a"), leaf("b")))
    assert insert(egraph, op("subtract", leaf("a"), leaf("b"))) == first
    assert insert(egraph, op("subtract", leaf("b"), leaf("a"))) != first
    assert (egraph.node_count, egraph.class_count) == (4, 4)


def test_commutative_nodes_share_a_class() -> None:
    egraph = make_egraph()
    assert insert(egraph, op("add", leaf("a"), leaf("b"))) == insert(
        egraph, op("add", leaf("b"), leaf("a"))
    )


def test_only_the_first_two_children_commute() -> None:
    egraph = EGraph(None, lambda op, attributes: op == "fma")
    a, b, c = (egraph.add("parameter", (i,), (), "i32") for i in range(3))
    first = egraph.add("fma", (), (a, b, c), "i32")
    assert egraph.add("fma", (), (b, a, c), "i32") == first
    assert egraph.add("fma", (), (a, c, b), "i32") != first


def test_a_node_of_another_type_is_another_node() -> None:
    egraph = make_egraph()
    one, other = (egraph.add("iota", (), (), type) for type in ("i32", "f32"))
    assert one != other
    assert (egraph.type_of(one), egraph.type_of(other)) == ("i32", "f32")


@pytest.mark.parametrize(
    ("left", "right"), [(1, True), (1, 1.0), (0.0, -0.0), ((0,), (False,)), (0j, -0.0j)]
)
def test_attributes_that_only_look_equal_are_kept_apart(left: Any, right: Any) -> None:
    assert left == right
    egraph = make_egraph()
    nodes = [egraph.add("constant", (value,), (), "f32") for value in (left, right)]
    assert nodes[0] != nodes[1]


def test_nan_attributes_are_hash_consed() -> None:
    egraph = make_egraph()
    nodes = [egraph.add("constant", (float("nan"),), (), "f32") for _ in range(2)]
    assert nodes[0] == nodes[1]


def test_congruence_closes_upwards() -> None:
    egraph = make_egraph()
    a, b = insert(egraph, leaf("a")), insert(egraph, leaf("b"))
    towers = []
    for name in "ab":
        term = leaf(name)
        for _ in range(10):
            term = unary("negate", term)
        towers.append(insert(egraph, term))
    egraph.union(a, b, "test")
    assert not egraph.is_rebuilt
    assert egraph.rebuild()
    assert egraph.is_rebuilt
    assert egraph.find(towers[0]) == egraph.find(towers[1])
    assert (egraph.node_count, egraph.class_count) == (12, 11)


def test_congruence_sees_through_commutativity() -> None:
    egraph = make_egraph()
    left = insert(egraph, op("add", leaf("a"), leaf("b")))
    right = insert(egraph, op("add", leaf("c"), leaf("a")))
    egraph.union(insert(egraph, leaf("b")), insert(egraph, leaf("c")), "test")
    egraph.rebuild()
    assert egraph.find(left) == egraph.find(right)


def test_a_node_may_be_its_own_operand() -> None:
    egraph = make_egraph()
    a = insert(egraph, leaf("a"))
    negated = insert(egraph, unary("negate", leaf("a")))
    egraph.union(a, negated, "test")
    egraph.rebuild()
    (node,) = egraph.nodes_of(a, "unary")
    assert node.children == (egraph.find(a),)
    assert insert(egraph, unary("negate", unary("negate", leaf("a")))) == egraph.find(a)


def test_reading() -> None:
    egraph = make_egraph()
    total = insert(egraph, op("add", leaf("a"), leaf("b")))
    a, b = insert(egraph, leaf("a")), insert(egraph, leaf("b"))
    (node,) = egraph.nodes(total)
    assert node[:3] == ("binary", ("add",), (a, b))
    assert egraph.node(node.id) == node
    assert egraph.nodes_of(total, "unary") == []
    assert list(egraph.classes()) == [a, b, total]
    assert egraph.classes_of("parameter") == [a, b]
    assert egraph.classes_of("unheard_of") == []
    assert egraph.parents(a) == [node.id]
    assert egraph.data(a) is None


def test_types_that_clash_name_the_reason() -> None:
    egraph = make_egraph()
    a, b = egraph.add("a", (), (), "i32"), egraph.add("b", (), (), "f32")
    with pytest.raises(TypeClashError, match=r"bad_rule equates .* i32 with one of type f32"):
        egraph.union(a, b, "bad_rule")
    assert issubclass(TypeClashError, RuleError)
    assert egraph.find(a) != egraph.find(b)
    assert egraph.union_count == 0


class ConstantAnalysis:
    """Knows the integer that a class equals, and adds it as a constant."""

    def make(
        self,
        op: str,
        attributes: tuple[Any, ...],
        data: tuple[Any, ...],
        type: Any,
        operands: tuple[int, ...],
    ) -> Any:
        if op == "constant":
            return attributes[0]
        if op == "unary" and data[0] is not None:
            return -data[0]
        if op == "binary" and None not in data:
            return data[0] + data[1] if attributes == ("add",) else data[0] * data[1]
        return None

    def join(self, a: Any, b: Any) -> Any:
        assert a is None or b is None or a == b
        return b if a is None else a

    def modify(self, egraph: EGraph, class_id: int) -> None:
        value = egraph.data(class_id)
        if value is not None:
            same = egraph.add("constant", (value,), (), egraph.type_of(class_id))
            egraph.union(class_id, same, "fold")


def test_analysis_folds_constants() -> None:
    egraph = make_egraph(ConstantAnalysis())
    term = insert(egraph, op("add", constant(2), op("multiply", constant(3), constant(4))))
    egraph.rebuild()
    assert egraph.data(term) == 14
    assert egraph.find(term) == insert(egraph, constant(14))
    (folded,) = egraph.nodes_of(term, "constant")
    assert egraph.origin(folded.id) == ANALYSIS


@pytest.mark.parametrize("uses", [0, 50])
def test_analysis_propagates_news_to_a_fixpoint(uses: int) -> None:
    # With many uses of the constant, its class absorbs the other instead of being absorbed.
    egraph = make_egraph(ConstantAnalysis())
    term = op("add", leaf("a"), constant(1))
    for _ in range(20):
        term = unary("negate", op("add", term, constant(1)))
    top = insert(egraph, term)
    for index in range(uses):
        insert(egraph, op("add", constant(5), leaf(f"x{index}")))
    egraph.rebuild()
    assert egraph.data(top) is None
    egraph.union(insert(egraph, leaf("a")), insert(egraph, constant(5)), "test")
    egraph.rebuild()
    assert egraph.data(top) == 6
    assert egraph.find(top) == insert(egraph, constant(6))


def test_rebuild_can_stop_and_go_on() -> None:
    egraph = make_egraph()
    towers = []
    for name in "ab":
        id = insert(egraph, leaf(name))
        for _ in range(2000):
            id = egraph.add("unary", ("negate",), (id,), "i32")
        towers.append(id)
    egraph.union(insert(egraph, leaf("a")), insert(egraph, leaf("b")), "test")
    assert not egraph.rebuild(lambda: True)
    assert not egraph.is_rebuilt
    assert all(node.children for node in egraph.nodes(towers[0]))
    assert egraph.rebuild()
    assert egraph.find(towers[0]) == egraph.find(towers[1])


def test_equal_results_of_injective_operations_have_equal_operands() -> None:
    egraph = EGraph(None, lambda _, attributes: False, lambda op, type: op == "turn")
    a, b, c = (egraph.add(name, (), (), "i32") for name in "abc")
    d = egraph.add("d", (), (), "f32")
    turned = [egraph.add("turn", (1,), (x,), "i32") for x in (a, b)]
    otherwise = egraph.add("turn", (2,), (c,), "i32")
    of_another_type = egraph.add("turn", (1,), (d,), "i32")
    lost = [egraph.add("lose", (), (x,), "i32") for x in (a, c)]
    outer = [egraph.add("turn", (1,), (x,), "i32") for x in turned]
    for x in (otherwise, of_another_type, outer[1]):
        egraph.union(outer[0], x, "test")
    egraph.union(*lost, "test")
    egraph.rebuild()
    assert egraph.find(turned[0]) == egraph.find(turned[1]), "turned of what is turned alike"
    assert egraph.find(a) == egraph.find(b)
    assert egraph.find(a) != egraph.find(c), "another attribute, or not injective"
    assert egraph.find(a) != egraph.find(d), "another type"
    reasons = {step.reason for step in explain(egraph, a, b)}
    assert reasons == {"injectivity", "test"}


def test_what_is_outdone_shows_no_more_but_for_the_input() -> None:
    def outdone(op: str, attributes: tuple[Any, ...]) -> frozenset[str]:
        return frozenset({"sum"}) if op == "value" else frozenset()

    egraph = EGraph(None, lambda *_: False, outdone_by=outdone)
    a = egraph.add("a", (), (), "i32")
    given = egraph.add("sum", (1,), (a,), "i32")
    derived = egraph.add("sum", (2,), (a,), "i32", origin="rule")
    moved = egraph.add("move", (), (a,), "i32", origin="rule")
    value = egraph.add("value", (), (), "i32")
    for x in (derived, moved):
        egraph.union(given, x, "test")
    egraph.rebuild()
    assert len(egraph.nodes(given)) == 3, "nothing is outdone yet"
    egraph.union(given, value, "test")
    egraph.rebuild()
    shown = {(node.op, node.attributes) for node in egraph.nodes(given)}
    assert shown == {("sum", (1,)), ("move", ()), ("value", ())}
    assert egraph.add("sum", (2,), (a,), "i32") == egraph.find(value), "it is still known"


def test_of_congruent_e_nodes_that_of_the_input_stays() -> None:
    def outdone(op: str, attributes: tuple[Any, ...]) -> frozenset[str]:
        return frozenset({"sum"}) if op == "value" else frozenset()

    egraph = EGraph(None, lambda *_: False, outdone_by=outdone)
    a, b = (egraph.add(name, (), (), "i32") for name in "ab")
    egraph.add("user", (), (a,), "i32")
    value = egraph.add("value", (), (), "i32")
    derived = egraph.add("sum", (), (a,), "i32", origin="rule")
    egraph.union(derived, value, "test")
    egraph.rebuild()
    given = egraph.add("sum", (), (b,), "i32")
    egraph.union(a, b, "test")
    egraph.rebuild()
    assert [node.op for node in egraph.nodes(given) if node.id == given] == ["sum"]
    assert egraph.add_node("sum", (), (a,), "i32") == given


def test_of_operations_that_outdo_themselves_the_first_one_shows() -> None:
    def outdone(op: str, attributes: tuple[Any, ...]) -> frozenset[str]:
        return frozenset({"value"}) if op == "value" else frozenset()

    egraph = EGraph(None, lambda *_: False, outdone_by=outdone)
    given = egraph.add("sum", (), (), "i32")
    derived = [egraph.add("value", (i,), (), "i32", origin="rule") for i in range(3)]
    for x in reversed(derived):
        egraph.union(given, x, "test")
    egraph.rebuild()
    shown = {(node.op, node.attributes) for node in egraph.nodes(given)}
    assert shown == {("sum", ()), ("value", (0,))}
    assert egraph.add("value", (2,), (), "i32") == egraph.find(given), "it is still known"


def test_what_computes_a_value_from_itself_shows_only_if_it_is_of_the_input() -> None:
    egraph = EGraph(None, lambda *_: False, shows_circular=False)
    x, one = (egraph.add(name, (), (), "i32") for name in ("x", "one"))
    given = egraph.add("multiply", (), (x, one), "i32")
    derived = egraph.add("divide", (), (x, one), "i32", origin="rule")
    useful = egraph.add("move", (), (one,), "i32", origin="rule")
    for product in (given, derived, useful):
        egraph.union(x, product, "test")
    egraph.rebuild()
    assert {node.op for node in egraph.nodes(x)} == {"x", "multiply", "move"}
    assert egraph.add("divide", (), (x, one), "i32") == egraph.find(x), "it is still known"
