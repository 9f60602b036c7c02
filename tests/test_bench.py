"""`saturax bench`: subjects from files and functions, figures side by side, errors that help."""

from __future__ import annotations

import json
import sys

import jax
import numpy as np
import pytest
from running import matrix_chain

from saturax import Options, OptionsError
from saturax.command import bench, cli
from saturax.command.bench import Measured, read_subject, shape_of, table
from saturax.report.model import Report
from saturax.stablehlo import to_text

_SOURCE = """
import jax.numpy as jnp
import numpy as np

def chain(weights, x):
    return weights["a"] @ weights["b"] @ x

def plain(a, x):
    return jnp.tanh(a @ x)

def example():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 96, 96), np.float32)
    return {"a": a, "b": b}, np.ones(96, np.float32)

def wrong():
    return [1.0]
"""
_QUICK = ("--time-limit", "2", "--budget", "0.1", "--no-cache")


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(_SOURCE)
    return path


def test_function_with_its_own_arguments(module, capsys):
    target = f"{module}:chain"
    assert cli.main(["bench", target, "--arguments", "example", "--json", *_QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["measured"]}
    assert list(rows)[:2] == ["XLA", "saturax"]
    assert rows["XLA"]["ratio"] == 1
    assert rows["saturax"]["difference"] < 1e-5
    low, high = rows["saturax"]["interval"]
    assert low <= rows["saturax"]["ratio"] <= high
    assert found["rounds"] >= 7
    assert found["report"]["outcome"] in ("optimized", "original")
    assert set(found["failed"]) | set(rows) == {"XLA", "saturax", "enzyme"}


def test_shapes_and_values(module, tmp_path):
    drawn = read_subject(f"{module}:plain", ["f32[8,4]", "f32[4]"])
    one, two = drawn.inputs(0), drawn.inputs(1)
    assert [array.shape for array in one] == [(8, 4), (4,)]
    assert not np.array_equal(one[0], two[0])
    path = tmp_path / "values.npz"
    np.savez(path, np.ones((8, 4), np.float32), np.arange(4, dtype=np.float32))
    given = read_subject(f"{module}:plain", inputs=path)
    assert np.array_equal(given.inputs(3)[1], np.arange(4))
    assert "model" not in sys.modules


def test_file(tmp_path, capsys):
    function, arguments = matrix_chain(64)
    path = tmp_path / "in.mlir"
    path.write_text(to_text(jax.jit(function).lower(*arguments).compiler_ir("stablehlo")))
    assert cli.main(["bench", str(path), *_QUICK]) == 0
    out = capsys.readouterr().out
    assert "interleaved rounds" in out
    assert "95 % interval" in out
    assert "enzyme   not measured" in out


def test_wrong_outputs_are_seen(module, monkeypatch):
    monkeypatch.setattr(bench, "_enzyme", lambda *_: lambda: [np.zeros(96, np.float32)])
    subject = read_subject(f"{module}:chain", arguments="example")
    result = bench.bench(subject, Options(time_limit_s=0), budget_s=0.05)
    rows = {row.name: row for row in result.measured}
    assert rows["enzyme"].difference == 1
    assert rows["saturax"].difference == 0


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("missing.mlir", {}, "found no file missing.mlir"),
        ("missing.py:f", {}, "found no file missing.py"),
        ("no_such_module:f", {}, "expected a module no_such_module"),
        ("{}:nothing", {}, "expected a function nothing"),
        ("{}:chain", {}, "its arguments are not known; give shapes"),
        ("{}:chain", {"arguments": "wrong"}, "expected wrong to return a tuple, got list"),
        ("{}:plain", {"shapes": ["f32(3)"]}, r"expected one such as f32\[128,256\]"),
    ],
)
def test_errors_say_what_to_do(module, target, options, message):
    with pytest.raises(OptionsError, match=message):
        read_subject(target.format(module), **options)


@pytest.mark.parametrize("text", ["bf16[2]", "u8[]", "bool[3,1]", "s32[4]", "c64[2,2]", "f64[ 1 ]"])
def test_shapes_are_read(text):
    found = shape_of(text)
    assert len(found.shape) == (0 if "[]" in text else text.count(",") + 1)


def test_table_lines():
    row = Measured("saturax", 12.5, 1.5, (1.4, 1.6), 1e-7)
    xla = Measured("XLA", 18.75, 1.0, (1.0, 1.0), 0.0)
    result = bench.BenchResult("m:f", (xla, row), {"enzyme": "no"}, 9, Report("f"))
    lines = table(result).splitlines()
    assert lines[1] == "  XLA            18.8 µs"
    assert "1.50× (95 % interval 1.40–1.60)" in lines[2]
    assert lines[3].endswith("not measured: no")
