"""Workloads build, run and train at their reduced sizes, and their outputs vary with the inputs."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from benchmarks.check_models import LEAST_VARIATION, check_workload, compare
from benchmarks.models import WORKLOADS, workloads
from benchmarks.provenance import provenance

BUILT_HERE = ("nasrnn", "resnet", "gpt2", "lstm_batch1", "kan1")
"""One workload of each kind of structure: all need JAX alone and compile in about a second."""


@pytest.mark.parametrize("name", BUILT_HERE)
def test_reduced_workload_runs_and_varies(name):
    (workload,) = workloads(names=[name])
    result = check_workload(workload, full=False)
    checks = [result["forward"], result["train"]]
    for check in (c for c in checks if c is not None):
        assert check["problem"] == ""
        assert check["variation"] > LEAST_VARIATION
        assert check["operations"] > 10


def test_keras_workload_runs(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("keras")
    (workload,) = workloads(names=["vgg19"])
    assert check_workload(workload, full=False)["forward"]["problem"] == ""


def test_training_reduces_the_loss():
    (workload,) = workloads(names=["lstm_batch1"])
    program = workload.build(reduced=True)
    step = jax.jit(program.train_step)
    first, parameters = step(program.parameters, *program.train_inputs)
    for _ in range(20):
        loss, parameters = step(parameters, *program.train_inputs)
    assert loss < first


def test_builds_are_reproducible():
    (workload,) = workloads(names=["nasrnn"])
    one, two = workload.build(reduced=True), workload.build(reduced=True)
    for a, b in zip(
        jax.tree.leaves((one.parameters, one.inputs)),
        jax.tree.leaves((two.parameters, two.inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_closed_form_is_the_function_at_the_parameters():
    (workload,) = workloads(names=["nasrnn"])
    program = workload.build(reduced=True)
    expected = program.function(program.parameters, *program.inputs)
    np.testing.assert_array_equal(program.closed()(*program.inputs), expected)


def test_kan_is_mostly_transposes():
    (workload,) = workloads(names=["kan1"])
    program = workload.build(reduced=True)
    text = jax.jit(program.function).lower(program.parameters, *program.inputs).as_text()
    assert text.count("stablehlo.transpose") > 0.55 * text.count("stablehlo.")


def test_every_workload_is_listed_once_with_its_configuration():
    names = [w.name for w in WORKLOADS]
    assert len(set(names)) == len(names)
    assert all(w.configuration and w.set in (1, 2, 3) for w in WORKLOADS)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match="nasrnn"):
        workloads(names=["no such workload"])


def test_compare_sees_saturated_and_infinite_outputs():
    ones = np.ones(4, np.float32)
    assert compare(ones, ones)["saturated"] == 1.0
    assert compare(ones, ones)["constant_outputs"] == 1
    assert not compare(ones, ones * np.inf)["is_finite"]
    assert compare(ones, -ones)["variation"] == pytest.approx(2.0)


def test_provenance_is_json_and_complete():
    seen = json.loads(json.dumps(provenance()))
    assert seen["versions"]["jax"]
    assert seen["cores"] >= 1
    assert seen["cpu"]
    assert seen["command"]
