"""Stage `price`: operations that a program might run get prices, from the database or measured."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from saturax.assembly.holding import hold_products
from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import DeviceIdentity
from saturax.cost.distance import REUSE_BYTES
from saturax.cost.folded import folded
from saturax.cost.formulate import Formulation, formulate
from saturax.cost.fresh_memory import charge_fresh_memory
from saturax.cost.kernel import BRANCHES, CONTROL_FLOW, IF, Kernel
from saturax.cost.loops import WHILE, counter_of
from saturax.cost.measure import ModuleToMeasure, Range, measure_modules
from saturax.cost.merged import merged
from saturax.cost.model import PriceModel
from saturax.cost.plausible import least_us
from saturax.cost.program import ClusterKernel
from saturax.cost.recomputation import charge_recomputation
from saturax.cost.repeat import most_times, repeated
from saturax.cost.repetition import ITSELF, Repetition
from saturax.cost.target import Target
from saturax.extract import Selection, selected_us
from saturax.graph.build import GraphBuilder, prune
from saturax.graph.ir import Graph, Node, Program, node_regions
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.types import TensorType, Type
from saturax.run import Run
from saturax.search.represent import Represented, represent
from saturax.stablehlo import emit_module, to_bytecode

# Share of the budget that measuring single operations may take. GPT-2 with frozen weights measures
# 46 of them in 8.8 of 22 s; with three tenths the products of a third of its time went unmeasured.
_SHARE = 0.4
# Loops that take longer by prediction are not run for their price.
_LONGEST_LOOP_SHARE = 0.005
# Index operands without known values: small enough to be in bounds of almost anything.
_INDEX_RANGE = (0, 2)
# XLA:CPU runs programs of less than 1,000 flops in the thread that calls them; others are handed to
# a pool, which costs more than many a kernel. With this negation beside it, every kernel is in a
# program of the second kind, and what is left without the companion's time is its own.
COMPANION, _SCALAR = TensorType((1024,), "f32"), TensorType((), "f32")
# Times to be measured at two moments: those that matter and vary, or are far above the roofline and
# what like kernels say, by more than kernels of this search usually are: where products of few rows
# take three times what calibration says of large ones, all of them do, and were measured twice.
# That takes a share of the time that is left.
_TELLING_US, _LARGE_SPREAD, _FAR_ABOVE, _SHARE_OF_DOUBT = 10.0, 0.3, 2.0, 0.3
_ENOUGH = 8  # kernels to say what is usual
# Two times of one kernel differ by so much although nothing was disturbed.
_SAME = 1.2


def _is_same(a: float, b: float) -> bool:
    return max(a, b) <= _SAME * min(a, b)


@dataclass
class Pricing:
    """Fills the price model from the database, measuring what is missing.

    `bodies` maps loop bodies and branches that have been searched to what was found for them,
    `body_rules` what was found to the rules that made it. Programs that are searched stand for
    others by `repetition`; loop bodies and branches for themselves.
    """

    run: Run
    device: DeviceIdentity | Target
    database: PriceDatabase
    model: PriceModel

    repetition: Repetition = ITSELF

    counts: Counter[str] = field(default_factory=Counter)

    spent_s: float = 0.0

    bodies: dict[Graph, Graph] = field(default_factory=dict)
    body_rules: dict[Graph, Counter[str]] = field(default_factory=dict)

    _excesses: list[float] = field(default_factory=list)
    # Programs alone in an e-graph: a search asks what the same one takes as prices become known.
    _alone: dict[Hashable, Formulation] = field(default_factory=dict)

    def recall(self, kernels: Iterable[Kernel]) -> int:
        """Look up the prices of `kernels` that the database has; return how many are new."""
        wanted = {kernel.key: kernel for kernel in self.model.unmeasured(kernels)}
        known = self.database.get_many(self.device.key, list(wanted))
        for key, price in known.items():
            self.model.learn(wanted[key], price.time_us)
        return len(known)

    def complete(self, kernels: Sequence[Kernel]) -> bool:
        """Look up or measure the prices of `kernels`; return whether any price is new."""
        known = self.recall(kernels)
        missing = [k for k in self.model.unmeasured(kernels) if not self._takes_long(k)]
        measured = 0
        left_s = min(_SHARE * self.run.budget_s - self.spent_s, self.run.remaining_s)
        if missing and self.run.options.measure and left_s > 0:
            started = time.monotonic()
            measured = self._measure(missing, left_s)
            seconds = time.monotonic() - started
            self.spent_s += seconds
            self.run.count_running(seconds)
        self.counts.update(
            {"known": known, "measured": measured, "predicted": len(missing) - measured}
        )
        return known > 0 or measured > 0

    @property
    def is_out_of_time(self) -> bool:
        """Whether something was left unmeasured because the time for measuring is over."""
        is_over = self.spent_s >= _SHARE * self.run.budget_s
        return self.counts["predicted"] > 0 and (is_over or self.run.remaining_s <= 0)

    def _takes_long(self, kernel: Kernel) -> bool:
        """Whether a loop would take too much of the time limit to be run for its price."""
        longest_us = 1e6 * _LONGEST_LOOP_SHARE * self.run.options.time_limit_s
        return kernel.op == WHILE and self.model.predict_us(kernel) > longest_us

    def price_regions(self, nodes: Sequence[Node]) -> None:
        """Predict the bodies of loops and branches that nothing is known of, from the inside out.

        Those that are searched get a better price there.
        """
        for node in nodes:
            for region in node_regions(node) if node.op in CONTROL_FLOW else ():
                if region not in self.model.region_us:
                    with self.model.in_region():
                        self.model.region_us[region] = self.predict_us(region)

    def predict_us(self, graph: Graph, frozen: frozenset[int] = frozenset()) -> float:
        """Predicted time of a graph as XLA compiles it; `frozen` inputs have fixed values."""
        self.price_regions(graph.nodes)
        formulation = self.alone(graph, frozen)
        if self.recall(formulation.kernels.values()):
            formulation = formulation.repriced(self.model)
        original = formulation.original()
        return selected_us(self.charged(formulation, original).problem, original)

    def alone(self, graph: Graph, frozen: frozenset[int] = frozenset()) -> Formulation:
        """A graph as XLA compiles it, in an e-graph of its own, at the prices that are known."""
        key = graph, frozen, self.model.is_in_region, self.standing
        known = self._alone.get(key)
        if known is not None:
            return known.repriced(self.model)
        found = self.formulated(represent(as_compiled(graph), frozen=frozen))
        self._alone[key] = found
        return found

    def formulated(self, represented: Represented) -> Formulation:
        """The choice of the cheapest program in an e-graph, at the prices that are known."""
        return formulate(represented, self.model, repetition=self.standing)

    @property
    def standing(self) -> Repetition:
        """What is priced now stands for programs by this."""
        return ITSELF if self.model.is_in_region else self.repetition

    def charged(self, formulation: Formulation, chosen: Selection) -> Formulation:
        """The same choice where what the `chosen` program costs beyond its prices is charged.

        New memory, and what kernels compute several times: what they are is known of one compiler.
        """
        formulation = charge_fresh_memory(formulation, chosen, self.model)
        if self.device.platform != "cpu":
            return formulation
        return charge_recomputation(formulation, chosen, self.model)

    def charged_alone(self, formulation: Formulation, chosen: Selection) -> Formulation:
        """The same, where nothing is charged that other programs cost."""
        return self.charged(formulation.uncharged, chosen)

    def measure_again(self, kernels: Sequence[Kernel], time_limit_s: float) -> int:
        """Measure kernels that have prices once more; return how many of those were wrong.

        Where the two differ, the middle of three is kept: either may have been disturbed.
        """
        started = time.monotonic()
        prices = {kernel.key: [self.model.measured[kernel.key]] for kernel in kernels}
        corrected: dict[str, Price] = {}
        doubtful = list(kernels)
        for _ in range(2):
            left_s = time_limit_s - (time.monotonic() - started)
            seen = self._times(doubtful, left_s) if doubtful and left_s > 0 else {}
            for key, price in seen.items():
                prices[key].append(price.time_us)
                middle_us = sorted(prices[key])[(len(prices[key]) - 1) // 2]
                corrected[key] = replace(price, time_us=middle_us)
            doubtful = [
                kernel
                for kernel in doubtful
                if kernel.key in seen and not _is_same(*prices[kernel.key][:2])
            ]
        self.run.count_running(time.monotonic() - started)
        by_key = {kernel.key: kernel for kernel in kernels}
        wrong = {k: p for k, p in corrected.items() if not _is_same(p.time_us, prices[k][0])}
        for key, price in wrong.items():
            self.model.learn(by_key[key], price.time_us)
        self.database.put_many(self.device.key, wrong)
        return len(wrong)

    def _measure(self, kernels: list[Kernel], time_limit_s: float) -> int:
        """Measure kernels; those whose times look disturbed once more, at another moment."""
        self.run.tell("price", f"measuring {len(kernels)} operations")
        started = time.monotonic()
        found = self._times(kernels, time_limit_s)
        doubtful = self._doubtful(
            [(kernel, found[kernel.key]) for kernel in kernels if kernel.key in found]
        )
        left_s = time_limit_s - (time.monotonic() - started)
        if doubtful and left_s > 0:
            for key, price in self._times(doubtful, _SHARE_OF_DOUBT * left_s).items():
                found[key] = min(found[key], price, key=lambda each: each.time_us)
        for kernel in kernels:
            if kernel.key in found:
                self.model.learn(kernel, found[kernel.key].time_us)
        self.database.put_many(self.device.key, found)
        return len(found)

    def _times(self, kernels: Sequence[Kernel], time_limit_s: float) -> dict[str, Price]:
        """What kernels take, by their keys; what fails is remembered."""
        once = self.device.platform != "cpu"  # what others can fuse is known of one compiler
        modules = [module_of(kernel, once=once) for kernel in kernels]
        results = measure_modules(modules, time_budget_s=time_limit_s)
        found: dict[str, Price] = {}
        for kernel, result in zip(kernels, results, strict=True):
            if result is None:
                continue
            if result.error is None:
                time_us = result.time_us
                if not self.is_believable(time_us, kernel.graph, kernel.levels):
                    time_us = self.model.predict_us(kernel)
                found[kernel.key] = Price(
                    time_us, result.spread, result.repetitions, cores=result.cores
                )
            else:
                self.model.failed.add(kernel.key)
        return found

    def is_believable(self, time_us: float, graph: Graph, levels: Sequence[int]) -> bool:
        """Whether a kernel can have taken so long.

        Nothing is free: it was not to be told from the call, or that was disturbed.
        """
        return time_us > 0 and time_us >= least_us(graph, levels, self.model.calibration)

    def _doubtful(self, timed: Sequence[tuple[Kernel, Price]]) -> list[Kernel]:
        """Kernels whose times may be those of a disturbed second: they vary, or are unexpected."""
        telling = [(kernel, price) for kernel, price in timed if price.time_us >= _TELLING_US]
        excesses = [price.time_us / self.model.kernel_us(kernel) for kernel, price in telling]
        self._excesses += excesses
        usual = median(self._excesses) if len(self._excesses) >= _ENOUGH else 1.0
        most = _FAR_ABOVE * max(1.0, usual)
        return [
            kernel
            for (kernel, price), excess in zip(telling, excesses, strict=True)
            if price.spread > _LARGE_SPREAD or excess > most
        ]


def as_compiled(graph: Graph) -> Graph:
    """A program as it is, without what the compiler leaves out before it forms kernels."""
    return folded(merged(graph))


def branches_taken(
    graph: Graph, evaluate: Callable[[Graph], Sequence[np.ndarray[Any, Any]]]
) -> dict[tuple[Graph, ...], int]:
    """Which of the regions of its branches a program takes; `evaluate` runs a graph on examples.

    A branch that is not taken (as one that rebuilds a table) may be dearer than all the rest.
    Branches inside of loops and other branches are not looked into.
    """
    choices = [node for node in graph.nodes if node.op in BRANCHES]
    if not choices:
        return {}
    selectors = tuple(node.operands[0] for node in choices)
    taken = {}
    found = evaluate(prune(replace(graph, outputs=selectors, effects=())))
    for node, selector in zip(choices, found, strict=True):
        regions, place = node_regions(node), int(selector)
        if node.op == IF:
            place = 0 if place else 1
        # StableHLO takes the last branch for an index out of range.
        taken[regions] = place if 0 <= place < len(regions) else len(regions) - 1
    return taken


def module_of_cluster(kernel: ClusterKernel) -> ModuleToMeasure:
    """A kernel of a program as a module to measure, together with `COMPANION`."""
    integers, positive = _indices(kernel.graph.inputs), _matrices(kernel.graph)
    inputs = ModuleToMeasure(b"", integers, positive_inputs=positive)
    times = most_times(kernel.graph, kernel.levels)
    return _module(kernel.graph, kernel.levels, inputs, times, _with_companion)


def companion(inputs: int = 1, outputs: int = 1) -> bytes:
    """A module that runs `COMPANION` alone, and hands over so many inputs and outputs."""
    builder = GraphBuilder((_SCALAR,) * (inputs - 1), exact=True)
    others = [builder.make("unary", ("negate",), (x,)) for x in builder.parameters[: outputs - 1]]
    return to_bytecode(emit_module(Program(_with_companion(builder.finish(others)))))


def _with_companion(graph: Graph) -> Graph:
    builder = GraphBuilder(graph.inputs, exact=True)
    results = builder.inline(graph, builder.parameters)
    small = builder.add_parameter(COMPANION)
    negated = builder.make("unary", ("negate",), (small,))
    return builder.finish([*results, negated])


def module_of(kernel: Kernel, *, once: bool = False) -> ModuleToMeasure:
    """An operation as a module to measure: as often as that can be, or `once`."""
    first = 0 if kernel.op == WHILE else 1  # of other operations the first is no index
    integers = {i: limits for i, limits in _indices(kernel.operands).items() if i >= first}
    counter = None if kernel.generic is None or kernel.op != WHILE else counter_of(kernel.generic)
    if counter is not None:  # JAX's loops count from 0
        integers[counter[0]] = (0, 1)
    inputs = ModuleToMeasure(b"", integers, positive_inputs=_matrices(kernel.graph))
    times = 1 if once else most_times(kernel.graph, kernel.levels)
    return _module(kernel.graph, kernel.levels, inputs, times)


def _module(
    graph: Graph,
    levels: Sequence[int],
    inputs: ModuleToMeasure,
    times: int,
    complete: Callable[[Graph], Graph] = lambda graph: graph,
) -> ModuleToMeasure:
    """A kernel so many times, completed; `inputs` tells what those of the kernel are like."""
    held, origin = hold_products(graph), tuple(range(len(graph.inputs)))
    if times > 1:
        held, origin = repeated(held, levels, times)
    far = {index: REUSE_BYTES[level] for index, level in enumerate(levels) if level}
    return ModuleToMeasure(
        to_bytecode(emit_module(Program(complete(held)))),
        {new: inputs.ranges[old] for new, old in enumerate(origin) if old in inputs.ranges},
        {new: far[old] for new, old in enumerate(origin) if old in far},
        frozenset(new for new, old in enumerate(origin) if old in inputs.positive_inputs),
        times,
    )


def _indices(types: Sequence[Type]) -> dict[int, Range]:
    """Values of inputs that may be indices."""
    return {
        index: _INDEX_RANGE
        for index, type in enumerate(types)
        if str(type).rpartition("x")[2].startswith(("i", "ui"))
    }


def _matrices(graph: Graph) -> frozenset[int]:
    """The inputs that are factored, or solved with: a factorisation that fails takes no time."""
    found: set[int] = set()
    for node in graph.nodes:
        matrix: Any = graph.nodes[node.operands[0]] if node.op in LINEAR_ALGEBRA else node
        shape: tuple[int, ...] = getattr(matrix.type, "shape", ())
        if matrix is not node and matrix.op == "parameter" and shape[-1] == shape[-2]:
            found.add(matrix.attributes[0])
    return frozenset(found)
