"""The reader of egraph-serialize files, and the comparison of methods on what it read."""

from __future__ import annotations

import json

import pytest
from benchmarks.extraction import compare, read_egraph

# f(a, a) and b cost 1 + 3 + 1; a node of f's class needs the class itself.
_EGRAPH = {
    "nodes": {
        "f": {"op": "f", "children": ["a", "a"], "eclass": "0", "cost": 1.0},
        "whole": {"op": "whole", "children": [], "eclass": "0", "cost": 5.0},
        "again": {"op": "again", "children": ["f"], "eclass": "0", "cost": 0.0},
        "a": {"op": "a", "children": [], "eclass": "1", "cost": 3.0},
        "b": {"op": "b", "eclass": "2"},
    },
    "root_eclasses": ["0", "2"],
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "egraph.json"
    file.write_text(json.dumps(_EGRAPH))
    return file


def test_nodes_prices_and_roots_are_read(path):
    problem = read_egraph(path)
    assert (problem.class_count, problem.node_count) == (3, 5)
    assert problem.roots == (0, 2)
    assert problem.children[0] == (1,)
    assert problem.cost_us == (1.0, 5.0, 0.0, 3.0, 1.0)  # a node without a price costs 1
    assert problem.signatures == ("f", "whole", "again", "a", "b")


def test_all_methods_agree_on_a_small_file(path, capsys):
    problem = read_egraph(path)
    rows = compare(path.name, problem, time_limit_s=5.0)
    costs = {row["method"]: row["cost_us"] for row in rows}
    assert costs["extract"] == costs["DAG greedy"] == costs["ILP, cycle cuts"] == 5.0
    assert all(cost >= 5.0 for cost in costs.values())
    assert "egraph.json: 5 nodes, 3 classes" in capsys.readouterr().out
