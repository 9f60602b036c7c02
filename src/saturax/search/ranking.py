"""Stage `price`, of whole programs: candidates are put in the order of their kernels' prices.

The sum that extraction minimises sees one operation at a time. Of the few programs that it returns,
each is priced as the kernels that XLA would make of it, every distinct one measured once.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import and_

from saturax.cost.concurrency import Load
from saturax.cost.database import Price
from saturax.cost.device import DeviceIdentity
from saturax.cost.fresh_memory import fresh_bytes
from saturax.cost.measure import MODULES_PER_GROUP, Measurement, measure_modules
from saturax.cost.program import ClusterKernel, kernels_of_program, predicted_load, program_us
from saturax.graph.ir import Graph, Program
from saturax.racing.footprint import predict
from saturax.search.pricing import Pricing, companion, module_of_cluster

# Share of the budget that measuring kernels of whole programs may take.
_SHARE = 0.1
# A kernel that takes longer by prediction (a loop, say) is not run for its price.
_LONGEST_KERNEL_SHARE = 0.005
# Of larger programs it takes long to find out what kernels they have, and of others that compute
# much several times what these take: so much of the budget, and no more, for one of them. Also
# where the search took all of it: a race of the wrong program takes longer.
_MOST_OPERATIONS, READING_SHARE = 4_000, 0.05
_DIGITS = 4  # of microseconds, after the point


def without_common(programs: Sequence[Sequence[ClusterKernel]]) -> list[list[ClusterKernel]]:
    """The kernels by which programs differ: those that all of them run as often tell nothing."""
    counts = [Counter(kernels) for kernels in programs]
    common = reduce(and_, counts, counts[0] if counts else Counter())
    found: list[list[ClusterKernel]] = []
    for kernels in programs:
        left = Counter(common)
        own: list[ClusterKernel] = []
        for kernel in kernels:
            if left[kernel] > 0:
                left[kernel] -= 1
            else:
                own.append(kernel)
        found.append(own)
    return found


@dataclass
class Ranking:
    """Prices of whole programs; `measured` and `predicted` map their kernels' keys to prices.

    Once one program `is_hard` to read, no others are priced.
    """

    pricing: Pricing
    measured: dict[str, Load] = field(default_factory=dict)
    predicted: dict[str, Load] = field(default_factory=dict)
    is_hard: bool = False

    def order(self, programs: Sequence[Graph]) -> list[int]:
        """The numbers of the programs, cheapest first; equal ones as they were.

        Those that need more memory than allowed come last, and where memory is the objective, it
        decides before time.

        What kernels XLA makes is known for one CPU only: elsewhere the order stays.
        """
        if not self._knows_kernels or len(programs) < 2:
            return list(range(len(programs)))
        kernels = [kernels_of_program(graph) for graph in programs]
        telling = {kernel.key for some in without_common(kernels) for kernel in some}
        loads = self._loads({kernel.key: kernel for some in kernels for kernel in some}, telling)
        times = [self._whole_us(graph, loads) for graph in programs]
        first = [self._memory_key(graph) for graph in programs]
        # Equal programs list their kernels in different orders, and sums differ by rounding.
        return sorted(range(len(programs)), key=lambda i: (first[i], round(times[i], _DIGITS)))

    def price_us(self, program: Graph) -> float | None:
        """What a program takes, by kernels as far as they have prices; None if they are unknown."""
        if not self._knows_kernels or len(program.nodes) > _MOST_OPERATIONS or self.is_hard:
            return None
        run = self.pricing.run
        self.pricing.price_regions(program.nodes)
        if not self.read(program, time.monotonic() + READING_SHARE * run.budget_s):
            self.is_hard = True
            return None
        return self._whole_us(program, self.predicted | self.measured)

    def _whole_us(self, program: Graph, loads: Mapping[str, Load]) -> float:
        model = self.pricing.model
        kernels_us = program_us(program, model, loads, self._cores)
        return kernels_us + model.fresh_us(fresh_bytes(program))

    def read(self, program: Graph, until: float = math.inf) -> bool:
        """Find out which kernels a program has and what they take, so that `order` need not.

        False if the clock came to `until` before that was known: where each layer computes all
        those before it again, a kernel has hundreds of operations.
        """
        if not self._knows_kernels:
            return True
        kernels = {kernel.key: kernel for kernel in kernels_of_program(program)}
        for kernel in self._recall(kernels):
            if time.monotonic() >= until:
                return False
            self._predict(kernel)
        return True

    @property
    def _knows_kernels(self) -> bool:
        return self.pricing.device.platform == "cpu" and len(self.pricing.run.devices) <= 1

    @property
    def _cores(self) -> int:
        """Of those of another machine nothing is known but their prices."""
        device = self.pricing.device
        return min(device.cores, device.threads) if isinstance(device, DeviceIdentity) else 1

    def _memory_key(self, graph: Graph) -> float:
        """What goes before time: memory where it is the objective, else what is over the limit."""
        options = self.pricing.run.options
        if options.objective == "time" and options.memory_limit_bytes is None:
            return 0.0
        needed = predict(Program(graph)).known_bytes or 0
        if options.objective == "memory":
            return float(needed)
        return max(0.0, needed - (options.memory_limit_bytes or 0))

    def _loads(self, kernels: Mapping[str, ClusterKernel], telling: Set[str]) -> dict[str, Load]:
        """Prices of kernels by key: looked up, predicted, or measured if they are `telling`.

        Those come first that matter most.
        """
        pricing = self.pricing
        predicted = {kernel.key: self._predict(kernel) for kernel in self._recall(kernels)}
        longest_us = 1e6 * _LONGEST_KERNEL_SHARE * pricing.run.options.time_limit_s
        wanted = [
            kernels[key]
            for key in sorted(predicted, key=lambda key: -predicted[key].time_us)
            if key in telling
            and kernels[key].is_measurable
            and predicted[key].time_us <= longest_us
        ]
        left_s = min(pricing.run.share_s(_SHARE), pricing.run.remaining_s)
        if wanted and left_s > 0:
            self._measure(wanted, left_s)
        return predicted | {key: self.measured[key] for key in kernels if key in self.measured}

    def _recall(self, kernels: Mapping[str, ClusterKernel]) -> list[ClusterKernel]:
        """Those of the kernels, by their keys, that have no measured price."""
        unknown = [key for key in kernels if key not in self.measured]
        known = self.pricing.database.get_many(self.pricing.device.key, unknown)
        self.measured |= {key: _load(price) for key, price in known.items()}
        return [kernels[key] for key in unknown if key not in known]

    def _predict(self, kernel: ClusterKernel) -> Load:
        if kernel.key not in self.predicted:
            load = predicted_load(kernel, self.pricing.model, self._cores)
            self.predicted[kernel.key] = load
        return self.predicted[kernel.key]

    def _measure(self, kernels: Sequence[ClusterKernel], limit_s: float) -> None:
        pricing = self.pricing
        pricing.run.on_progress("price", f"measuring {len(kernels)} kernels of whole programs")
        started = time.monotonic()
        results: list[Measurement | None] = []
        for start in range(0, len(kernels), MODULES_PER_GROUP):
            some = kernels[start : start + MODULES_PER_GROUP]
            left_s = limit_s - (time.monotonic() - started)
            if left_s <= 0:
                break
            modules = [module_of_cluster(kernel) for kernel in some]
            results += measure_modules(modules, time_budget_s=left_s, beside=companion)
        found = {
            kernel.key: Price(result.time_us, result.spread, result.repetitions, cores=result.cores)
            for kernel, result in zip(kernels, results, strict=False)
            if result is not None
            and result.error is None
            and pricing.is_believable(result.time_us, kernel.graph, kernel.levels)
        }
        pricing.database.put_many(pricing.device.key, found)
        self.measured |= {key: _load(price) for key, price in found.items()}
        seconds = time.monotonic() - started
        pricing.spent_s += seconds
        pricing.run.count_running(seconds)


def _load(price: Price) -> Load:
    return Load(price.time_us, price.cores)
