"""Where rules look: only at roots whose operands can be what their patterns have there."""

from saturax.egraph import EGraph, pattern
from saturax.egraph.matcher import root_operands, seed_chains
from saturax.egraph.reach import Reach


def test_roots_have_an_operand_of_the_kind_that_the_pattern_has_there() -> None:
    """Of -f(a), -a, f(a) + b, b + f(a), f(a) - b and b - f(a): each in its place."""
    egraph = EGraph(None, lambda _op, attributes: attributes == ("add",))
    a, b = egraph.add("a", (), (), "t"), egraph.add("b", (), (), "t")
    f = egraph.add("unary", ("f",), (a,), "t")
    negated = egraph.add("unary", ("negate",), (f,), "t")
    egraph.add("unary", ("negate",), (a,), "t")
    added = egraph.add("binary", ("add",), (f, b), "t")
    first = egraph.add("binary", ("subtract",), (f, b), "t")
    second = egraph.add("binary", ("subtract",), (b, f), "t")
    egraph.add("binary", ("subtract",), (a, b), "t")
    egraph.rebuild()

    inner = pattern("unary", "x", at="f")
    cases = [
        (pattern("unary", inner, at="negate"), [negated]),
        (pattern("binary", inner, "y", at="add"), [added]),
        (pattern("binary", "y", inner, at="add"), [added]),
        (pattern("binary", inner, "y", at="subtract"), [first]),
        (pattern("binary", "y", inner, at="subtract"), [second]),
        (pattern("binary", inner, inner, at="subtract"), []),
    ]
    for left, expected in cases:
        (root, *_), operands = seed_chains(left), root_operands(left)
        assert Reach(egraph, egraph.live_nodes()).roots(root, operands) == expected
    above = seed_chains(cases[3][0])[1]
    assert Reach(egraph, [f]).roots(above, root_operands(cases[3][0])) == [first]
