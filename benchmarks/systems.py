"""What is timed side by side: XLA in its forms, other optimisers, saturax and its variants.

A builder takes a case and saturax's options and returns a `System`, or None where it has no
meaning in the case's mode.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import jax
import jax.export

import saturax
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module, import_module, to_portable_artifact

from .cases import Case
from .study_model import StudyModel

OPTIMISED_ON = 0
"""Seed of the inputs that saturax sees; those that are measured are drawn from others."""


@dataclass(frozen=True)
class System:
    """A jitted function, called as `function(*fixed, *arguments)`, and what is known of it.

    `optimise_s` is what was spent before XLA compiles the result; `report` is saturax's.
    """

    function: Any
    fixed: tuple[Any, ...] = ()
    optimise_s: float = 0.0
    report: saturax.Report | None = None
    candidates_compile_s: dict[str, float] = field(default_factory=dict)

    def __call__(self, *arguments: Any) -> Any:
        """Call it; results may not be there yet."""
        return self.function(*self.fixed, *arguments)

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """Lower what a call runs; compiling it serves the calls as well."""
        lowered: jax.stages.Lowered = self.function.lower(*self.fixed, *arguments)
        return lowered


Builder = Callable[[Case, saturax.Options], System | None]


def xla(case: Case, options: saturax.Options) -> System:
    """Plain `jax.jit` of the case."""
    return System(_jit_anew(case.function))


def xla_arguments(case: Case, options: saturax.Options) -> System | None:
    """The weights of a frozen case as arguments: XLA may like either form better."""
    if not case.is_frozen or case.open is None:
        return None
    function, parameters = case.open
    return System(_jit_anew(function), (parameters,))


def xla_constants(case: Case, options: saturax.Options) -> System | None:
    """The weights as constants, which XLA may fold: it is told more than in the case itself."""
    if case.open is None or case.is_frozen:
        return None
    function, parameters = case.open

    def closed(_: Any, *inputs: Any) -> Any:
        return function(parameters, *inputs)

    return System(jax.jit(closed))


def enzyme(case: Case, options: saturax.Options) -> System:
    """Enzyme-JAX's whole greedy pipeline in front of XLA."""
    return System(enzyme_jit(case.function))


def enzyme_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function jitted through Enzyme-JAX's whole greedy pipeline.

    Raises:
        ImportError: `enzyme-ad` is not installed.
    """
    from enzyme_ad.jax import (
        JaXPipeline,
        enzyme_jax_ir,
        full_optimization_pass_pipeline,
    )

    pipeline = JaXPipeline(full_optimization_pass_pipeline())
    optimised: Callable[..., Any] = jax.jit(enzyme_jax_ir(pipeline_options=pipeline)(function))
    return optimised


def saturax_full(case: Case, options: saturax.Options) -> System:
    """saturax as it is."""
    return _frozen(case, options) if case.is_frozen else _optimised(case, options)


def saturax_greedy(case: Case, options: saturax.Options) -> System:
    """saturax, but each e-class takes its cheapest e-node, whatever the others take."""
    return saturax_full(case, dataclasses.replace(options, extraction="greedy"))


def saturax_study(case: Case, options: saturax.Options) -> System:
    """saturax with the cost model of the OOPSLA 2025 study."""
    with mock.patch("saturax.search.device_prices.PriceModel", StudyModel):
        return saturax_full(case, options)


def saturax_no_rules(case: Case, options: saturax.Options) -> System | None:
    """What saturax's import and emission alone do to a program: nothing is searched."""
    if case.is_frozen:
        return None
    start = time.monotonic()
    jitted = jax.jit(case.function, keep_unused=True)
    exported = jax.export.export(jitted)(*case.arguments_of(OPTIMISED_ON))
    module = to_portable_artifact(emit_module(import_module(exported.mlir_module_serialized)))
    return System(_callable(exported, module), (), time.monotonic() - start)


BUILDERS: dict[str, Builder] = {
    "xla": xla,
    "xla_arguments": xla_arguments,
    "xla_constants": xla_constants,
    "enzyme": enzyme,
    "saturax": saturax_full,
    "greedy": saturax_greedy,
    "study": saturax_study,
    "no_rules": saturax_no_rules,
}
REFERENCES = ("xla", "xla_arguments")
"""Forms of the case under plain XLA: the fastest one is what others are compared with."""
ALWAYS = (*REFERENCES, "saturax")
PEERS = ("enzyme",)
"""Other people's optimisers: a crash or a wrong result of theirs is a result, not a failure."""
SEARCHES = ("saturax", "greedy", "study")
"""Those that take saturax's time limit."""


@dataclass
class StageClock:
    """Seconds that XLA compiled candidates, by the stage in which it did."""

    stage: str = ""
    compile_s: dict[str, float] = field(default_factory=dict)

    def on_progress(self, stage: str, detail: str) -> None:
        """What `saturax.optimize` calls when a stage begins (without a detail) and in it."""
        if not detail:
            self.stage = stage

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Times the compilations of saturax's contest within the block."""

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.monotonic()
            try:
                return compile_module(*arguments, **options)
            finally:
                spent = time.monotonic() - start
                self.compile_s[self.stage] = self.compile_s.get(self.stage, 0.0) + spent

        # Reports do not tell compilation apart, but the time limit does.
        with mock.patch("saturax.racing.contest.compile_module", timed):
            yield


def _frozen(case: Case, options: saturax.Options) -> System:
    assert case.open is not None
    clock, start = StageClock(), time.monotonic()
    with clock.running():
        fast = saturax.freeze(*case.open, options=options, on_progress=clock.on_progress)
        jax.block_until_ready(fast(*case.arguments_of(OPTIMISED_ON)))
    spent = time.monotonic() - start
    return System(fast, (), spent, fast.report, clock.compile_s)


def _optimised(case: Case, options: saturax.Options) -> System:
    arguments = case.arguments_of(OPTIMISED_ON)
    # All arguments are kept, so that they are also the examples on which saturax measures.
    jitted = jax.jit(case.function, keep_unused=True)
    clock, start = StageClock(), time.monotonic()
    with clock.running():
        result = saturax.optimize(
            jitted, *arguments, options=options, on_progress=clock.on_progress
        )
    spent = time.monotonic() - start
    known = (), spent, result.report, clock.compile_s
    if result.report.outcome != "optimized":
        # The same program, compiled once more: its ratio shows how well this measures.
        return System(_jit_anew(case.function), *known)
    exported = jax.export.export(jitted)(*arguments)
    module = to_portable_artifact(emit_module(result.program))
    return System(_callable(exported, module), *known)


def _jit_anew(function: Callable[..., Any]) -> Any:
    """`jax.jit`, but compiled for this system: JAX shares what it compiled of one function."""
    return jax.jit(lambda *arguments: function(*arguments))


def _callable(exported: jax.export.Exported, module: bytes) -> Any:
    """The jitted function of an export with another module in it."""
    return jax.jit(dataclasses.replace(exported, mlir_module_serialized=module).call)
