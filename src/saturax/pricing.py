"""Stage `price`: operations that a program might run get prices, from the database or measured."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import DeviceIdentity
from saturax.cost.kernel import Kernel
from saturax.cost.measure import ModuleToMeasure, measure_modules
from saturax.cost.model import PriceModel
from saturax.graph.ir import Program
from saturax.run import Run
from saturax.stablehlo import emit_module, to_bytecode

# Share of the time limit that measuring single operations may take.
_SHARE = 0.3
# Index operands without known values: small enough to be in bounds of almost anything.
_INDEX_RANGE = (0, 2)


@dataclass
class Pricing:
    """Fills the price model from the database, measuring what is missing."""

    run: Run
    device: DeviceIdentity
    database: PriceDatabase
    model: PriceModel

    counts: Counter[str] = field(default_factory=Counter)

    spent_s: float = 0.0

    def recall(self, kernels: Iterable[Kernel]) -> int:
        """Look up the prices of `kernels` that the database has; return how many are new."""
        keys = [kernel.key for kernel in self.model.unmeasured(kernels)]
        known = self.database.get_many(self.device.key, keys)
        self.model.measured.update({key: price.time_us for key, price in known.items()})
        return len(known)

    def complete(self, kernels: Sequence[Kernel]) -> bool:
        """Look up or measure the prices of `kernels`; return whether any price is new."""
        known = self.recall(kernels)
        missing = self.model.unmeasured(kernels)
        measured = 0
        left_s = min(_SHARE * self.run.options.time_limit_s - self.spent_s, self.run.remaining_s)
        if missing and self.run.options.measure and left_s > 0:
            started = time.monotonic()
            measured = self._measure(missing, left_s)
            self.spent_s += time.monotonic() - started
        self.counts.update(
            {"known": known, "measured": measured, "predicted": len(missing) - measured}
        )
        return known > 0 or measured > 0

    def _measure(self, kernels: list[Kernel], time_limit_s: float) -> int:
        self.run.on_progress("price", f"measuring {len(kernels)} operations")
        results = measure_modules(list(map(_module_of, kernels)), time_budget_s=time_limit_s)
        found: dict[str, Price] = {}
        for kernel, result in zip(kernels, results, strict=True):
            if result is None:
                continue
            if result.error is None:
                found[kernel.key] = Price(result.time_us, result.spread, result.repetitions)
            else:
                self.model.failed.add(kernel.key)
        self.model.measured.update({key: price.time_us for key, price in found.items()})
        self.database.put_many(self.device.key, found)
        return len(found)


def _module_of(kernel: Kernel) -> ModuleToMeasure:
    integers = {
        index: _INDEX_RANGE
        for index, type in enumerate(kernel.operands)
        if index > 0 and str(type).rpartition("x")[2].startswith(("i", "ui"))
    }
    return ModuleToMeasure(to_bytecode(emit_module(Program(kernel.graph))), integers)
