"""Equivalent programs, rewritten differently: random extractions from the e-graphs of workloads.

Workloads are taken at full size and cut into segments (`saturax.search.partition`), so that
operations have the sizes that matter, and a variant still compiles in a fraction of a second. Each
variant has been compared with its original on random inputs, and is stored as StableHLO.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from saturax.assembly.holding import hold_products
from saturax.cost.device import default_calibration
from saturax.cost.formulate import Formulation, formulate, read_program
from saturax.cost.measure import Range, random_array
from saturax.cost.model import PriceModel
from saturax.egraph import Limits, saturate
from saturax.extract import Selection, dag_cost, dag_greedy
from saturax.graph.fingerprint import fingerprint
from saturax.graph.ir import Graph, Program
from saturax.graph.types import TensorType, is_float
from saturax.jaxlib_compat import Executable, compile_module, default_device, put_on_device
from saturax.mlir_modules import ModuleError
from saturax.proposals import propose
from saturax.rules import rules_within
from saturax.rules.rule import Numerics
from saturax.search.partition import partition
from saturax.search.represent import represent
from saturax.stablehlo import emit_module, import_module, to_bytecode

from ..models import Workload

_SMALLEST, _LARGEST = 8, 60  # operations of a segment
_SHORTEST_US, _LONGEST_US = 30.0, 20_000.0  # predicted time of a segment's original
_SLOWEST = 20.0  # times the original: no search would come near such a variant
_LIMITS = Limits(time_limit_s=2.0, node_limit=4_000, iteration_limit=4)
# Random factors on prices: from slight preferences to a program that ignores its prices.
_SPREADS = (0.5, 1.0, 2.0, 4.0)
# So many programs are drawn however few are kept, so that the first are always the same.
_DRAWS = 24
POSITIVE: Range = (0.25, 1.25)
_TOLERANCE = {"f64": 1e-6, "f32": 2e-3, "bf16": 6e-2, "f16": 2e-2}


@dataclass(frozen=True)
class Variant:
    """A stored program: `group` names the segment whose variants all compute the same."""

    group: str
    name: str
    workload: str
    operations: int
    is_original: bool

    def path(self, folder: Path) -> Path:
        """Where its StableHLO bytecode lies."""
        return folder / f"{self.name}.mlir.bc"

    def compiled(self, folder: Path) -> bytes:
        """What is compiled of it: the original as it is, what was extracted as saturax emits it."""
        written = self.path(folder).read_bytes()
        if self.is_original:
            return written
        return to_bytecode(emit_module(Program(hold_products(import_module(written).graph))))


def load(folder: Path) -> list[Variant]:
    """The variants of all workloads that are listed in a folder."""
    files = sorted(file for file in folder.glob("*.json") if not file.name.startswith("times-"))
    return [Variant(**each) for file in files for each in json.loads(file.read_text())]


def make(
    folder: Path,
    workload: Workload,
    segments: int,
    count: int,
    seed: int,
    is_reduced: bool = False,
) -> list[Variant]:
    """Store variants of a workload's segments: each original and up to `count` others."""
    program = workload.build(is_reduced)
    with workload.context():
        lowered = jax.jit(program.function).lower(program.parameters, *program.inputs)
        module: Any = lowered.compiler_ir("stablehlo")
        graph = import_module(module).graph
    generator = np.random.default_rng(seed)
    made: list[Variant] = []
    for number, segment in enumerate(_segments(graph, segments, generator)):
        group = f"{workload.name}-{number}"
        others = _equivalent(segment, _rewritten(segment, count, generator))
        for index, each in enumerate([segment, *others] if others else []):
            name = f"{group}-{index}"
            variant = Variant(group, name, workload.name, len(each.nodes), index == 0)
            variant.path(folder).write_bytes(to_bytecode(emit_module(Program(each))))
            made.append(variant)
    return made


def _segments(graph: Graph, count: int, generator: np.random.Generator) -> list[Graph]:
    """Distinct segments of a suitable predicted time, drawn at random."""
    model = PriceModel(default_calibration())
    found = []
    if len(graph.nodes) <= 2 * _LARGEST or graph.effects:
        return [graph]
    for segment in partition(graph, _SMALLEST, _LARGEST).distinct():
        tensors = all(isinstance(t, TensorType) for t in (*segment.inputs, *segment.output_types))
        formulation = formulate(represent(segment), model)
        time_us = dag_cost(formulation.problem, formulation.original())
        if tensors and not segment.effects and _SHORTEST_US <= time_us <= _LONGEST_US:
            found.append(segment)
    order = generator.permutation(len(found))[:count]
    return [found[i] for i in sorted(order.tolist())]


def _rewritten(graph: Graph, count: int, generator: np.random.Generator) -> list[Graph]:
    """The best program by uncalibrated prediction, and random extractions unlike one another.

    Most random programs differ in trifles only: of many, those are taken whose operations differ
    most from those of all taken before.
    """
    represented = represent(graph, propose(graph))
    saturate(represented.egraph, rules_within(Numerics.ROUNDING), _LIMITS)
    formulation = formulate(represented, PriceModel(default_calibration()))
    limit = _SLOWEST * dag_cost(formulation.problem, formulation.original())
    drawn: dict[str, Graph] = {}
    for attempt in range(_DRAWS):
        spread = _SPREADS[attempt % len(_SPREADS)] if attempt else 0.0
        selection = _draw(formulation, spread, generator)
        if dag_cost(formulation.problem, selection) <= limit:
            program = read_program(formulation, selection).graph
            drawn.setdefault(fingerprint(program), program)
    drawn.pop(fingerprint(graph), None)
    taken, rest = [graph], list(drawn.values())
    while rest and len(taken) <= count:
        farthest = max(rest, key=lambda each: min(_difference(each, other) for other in taken))
        rest.remove(farthest)
        taken.append(farthest)
    return taken[1:]


def _difference(one: Graph, other: Graph) -> int:
    """How many operations one of two programs has that the other has not."""
    a, b = (Counter((n.op, n.attributes, n.type) for n in graph.nodes) for graph in (one, other))
    return (a - b).total() + (b - a).total()


def _draw(formulation: Formulation, spread: float, generator: np.random.Generator) -> Selection:
    """The greedy choice under prices that are multiplied by random factors."""
    factors = np.exp(spread * generator.standard_normal(len(formulation.problem.cost_us)))
    costs = [c * f for c, f in zip(formulation.problem.cost_us, factors.tolist(), strict=True)]
    return dag_greedy(formulation.problem.with_costs(costs))


def _equivalent(original: Graph, others: Sequence[Graph]) -> list[Graph]:
    """Those of `others` that compute what `original` does on random inputs.

    Inputs are of both signs, or positive where that gives results that are not finite (the square
    root of a variance, say).
    """
    with ThreadPoolExecutor(2) as pool:
        programs = list(pool.map(_compiled, [original, *others]))
    for limits in (None, POSITIVE):
        results = [_run(program, random_inputs(original.inputs, limits)) for program in programs]
        expected = results[0]
        if expected is not None and all(map(_is_finite, expected)):
            return [
                graph
                for graph, found in zip(others, results[1:], strict=True)
                if found is not None and all(map(_close, expected, found, original.output_types))
            ]
    return []


def random_inputs(types: Sequence[Any], limits: Range | None = POSITIVE) -> list[jax.Array]:
    """Random arrays on the device; `limits` are those of floats."""
    return [
        put_on_device(
            random_array(type, limits if is_float(type.dtype) else None, i), default_device()
        )
        for i, type in enumerate(types)
    ]


def _compiled(graph: Graph) -> Executable | None:
    try:
        return compile_module(to_bytecode(emit_module(Program(graph))))
    except ModuleError:
        return None


def _run(program: Executable | None, inputs: Sequence[jax.Array]) -> list[np.ndarray] | None:
    try:
        return None if program is None else [np.asarray(output) for output in program(inputs)]
    except jax.errors.JaxRuntimeError:
        return None


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind in "biu" or bool(np.all(np.isfinite(array.astype(np.complex128))))


def _close(expected: np.ndarray, found: np.ndarray, type: TensorType) -> bool:
    tolerance = _TOLERANCE.get(type.dtype)
    if tolerance is None:
        return bool(np.array_equal(expected, found))
    a, b = expected.astype(np.float64), found.astype(np.float64)
    scale = max(float(np.max(np.abs(a), initial=0.0)), math.ulp(1.0))
    return bool(np.max(np.abs(a - b), initial=0.0) <= tolerance * scale)
