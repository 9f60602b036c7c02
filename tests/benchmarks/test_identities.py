"""Rows of the identities agree, costs are counted as documented, and saturax reaches ideals."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.identities import FAMILIES, identities
from benchmarks.identities.__main__ import is_ideal, main, records_of, summary, verdict
from benchmarks.identities.hlo import cost_of
from benchmarks.identities.row import Identity, normal

import saturax

ROWS = identities()
OPTIONS = {"time_limit_s": 3.0, "budget_s": 0.05, "database": None}


def relative_difference(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    if a.dtype.kind not in "fcV":
        return float(np.mean(a != b))
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    a, b = a.astype(wide), b.astype(wide)
    return float(np.abs(a - b).max() / (np.abs(a).max() or 1.0))


def check_agreement(rows):
    for row in rows:
        with row.context():
            arguments = row.arguments(seed=3)
            given = jax.tree.leaves(jax.jit(row.given)(*arguments))
            ideal = jax.tree.leaves(jax.jit(row.ideal)(*arguments))
        for a, b in zip(given, ideal, strict=True):
            assert relative_difference(a, b) < 1e-4, row.name


@pytest.mark.parametrize("family", FAMILIES)
def test_given_and_ideal_agree(family):
    rows = identities(families=[family])
    listed = [row for row in rows if row.is_listed]
    others = [row for row in rows if not row.is_listed]
    check_agreement(listed + others[:: max(1, len(others) // 3)])


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_all_given_and_ideal_agree(family):
    check_agreement(identities(families=[family]))


def test_rows_are_many_and_distinct():
    assert len(ROWS) == len({row.name for row in ROWS})
    assert len(ROWS) >= 400
    assert sum(row.is_listed for row in ROWS) >= 46
    assert {row.family for row in ROWS} == set(FAMILIES)
    assert all(row.family in FAMILIES for row in ROWS)


def test_unknown_row_is_refused(capsys):
    with pytest.raises(ValueError, match="no_such_row"):
        identities(names=["no_such_row"])
    assert main(["--names", "no_such_row"]) == 2
    assert "no_such_row" in capsys.readouterr().err


def compiled(f, *arguments):
    return jax.jit(f).lower(*arguments).compile()


def test_costs_of_a_product():
    a = jnp.ones((64, 32))
    cost = cost_of(compiled(lambda x: x @ x.T, a))
    assert cost.flops == 2 * 64 * 64 * 32
    assert cost.transcendentals == 0
    assert cost.bytes >= 4 * (64 * 32 + 64 * 64)
    assert cost.kernels >= 1
    assert cost.calls == {}


def test_loops_count_as_often_as_they_run():
    def loop(trips):
        return lambda x: jax.lax.fori_loop(0, trips, lambda i, z: jnp.sin(z) @ a, x)

    a = jnp.ones((64, 64))
    few, many = (cost_of(compiled(loop(trips), a)) for trips in (8, 32))
    assert many.transcendentals == pytest.approx(4 * few.transcendentals)
    assert many.flops == pytest.approx(4 * few.flops, rel=0.01)
    assert many.bytes > 3 * few.bytes
    assert not many.unknown_trips


def test_library_calls_are_listed():
    a = jnp.eye(16) + 0.1
    cost = cost_of(compiled(lambda x: jnp.linalg.cholesky(x), a))
    assert any("potrf" in name for name in cost.calls)
    plain = {"flops": 1.0, "transcendentals": 0.0, "bytes": 8.0, "calls": {}}
    assert not is_ideal(plain | {"calls": cost.calls}, plain)
    assert is_ideal(plain, plain | {"calls": cost.calls})


def test_verdicts():
    cost = {"flops": 1e6, "transcendentals": 0.0, "bytes": 1e6, "calls": {}}
    fast = {"cost": cost, "us": 10.0, "is_accurate": True}
    slow = {"cost": cost | {"flops": 2e6}, "us": 20.0, "is_accurate": True}
    assert verdict({"saturax": fast, "ideal": fast}, "saturax") == "ideal"
    assert verdict({"saturax": slow, "ideal": fast}, "saturax") == "missed"
    assert verdict({"saturax": slow | {"us": 9.0}, "ideal": fast}, "saturax") == "no slower"
    assert (
        verdict({"saturax": slow | {"us": 9.0}, "ideal": fast, "is_predicted": True}, "saturax")
        == "missed"
    )
    assert verdict({"saturax": fast | {"is_accurate": False}, "ideal": fast}, "saturax") == "wrong"
    assert verdict({"saturax": {"problem": "crash"}, "ideal": fast}, "saturax") == "failed"


@pytest.mark.parametrize("name", ["associate_vector", "double_angle_sine", "split_bits"])
def test_rows_are_optimised(name):
    (row,) = identities(names=[name])
    # By prediction: what the clock of a busy machine says is no test.
    options = saturax.Options(measure=False, cache=False, time_limit_s=10)
    with row.context():
        arguments = row.arguments()
        result = saturax.optimize(jax.jit(row.given), *arguments, options=options)
        assert result.report.outcome == "optimized"
        ideal = saturax.optimize(jax.jit(row.ideal), *arguments, options=options)
    assert result.report.operations_after <= ideal.report.operations_before


def test_record_and_crash():
    rows = identities(names=["scaled_thrice", "negated_difference"])
    records = records_of(rows, [], OPTIONS, row_limit_s=120)
    for record in records:
        assert record["verdicts"]["xla"] in ("ideal", "no slower", "missed")
        assert record["saturax"]["is_accurate"]
        assert record["saturax"]["cost"]["bytes"] > 0
    json.dumps(records)
    assert "2 rows" in summary(records, ["xla", "saturax"])
    broken = Identity("no_such_row", rows[0].given, rows[0].ideal, (normal(2),))
    (record,) = records_of([broken], [], OPTIONS, row_limit_s=120)
    assert "no_such_row" in record["problem"]
