"""Candidates against the original: compile, verify and time them on the same inputs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from saturax.errors import SaturaxError
from saturax.graph.ir import Graph, Program
from saturax.graph.types import TensorType
from saturax.inputs import Array, draw
from saturax.jaxlib_compat import Executable, compile_module, default_device, without_donation
from saturax.precompute import precompute
from saturax.report.model import CandidateReport
from saturax.select import RaceResult, race
from saturax.stablehlo import emit_module, widen
from saturax.verify import Sample, Verdict, take_samples, verify


@dataclass
class Candidate:
    """A program in the contest, with what is known of it."""

    program: Program
    executable: Executable
    report: CandidateReport


@dataclass
class Contest:
    """The original program, inputs to judge others by, and the candidates entered so far.

    `on_compiled` is told how long XLA compiled: the time limit does not include it.
    """

    program: Program
    examples: Sequence[Array] | None
    verifies: bool
    with_special_values: bool
    seed: int
    on_compiled: Callable[[float], None] = lambda seconds: None
    candidates: list[Candidate] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._types = _tensor_types(self.program)
        self.original = self._compile(self.program)
        if self.verifies:
            reference = self._compile(widen(self.program))
            self.samples = take_samples(
                _runner(self.original),
                _runner(reference),
                self._types,
                self.examples,
                with_special_values=self.with_special_values,
                seed=self.seed,
            )
        inputs = self.samples[0].inputs if self.samples else self._unchecked_inputs()
        self._arrays = _on_device(inputs)
        self._seen: set[Graph] = {self.program.graph}

    def _unchecked_inputs(self) -> list[Array]:
        kind = "normal" if self.examples is None else "given"
        return draw(kind, self._types, self.examples, 1.0, self.seed)

    def _compile(self, program: Program) -> Executable:
        start = time.monotonic()
        executable = compile_module(without_donation(emit_module(program)))
        self.on_compiled(time.monotonic() - start)
        return executable

    def evaluate(self, graph: Graph, inputs: Sequence[Array]) -> list[Array]:
        """Run a graph on inputs, as `precompute` asks for it."""
        part = Program(graph, symbols=self.program.symbols)
        return _runner(self._compile(part))(inputs)

    def enter(
        self,
        name: str,
        graph: Graph,
        frozen: Sequence[int],
        predicted_us: float,
        rules: Counter[str],
    ) -> CandidateReport | None:
        """Add a candidate if it is new and passes the check; None if it was there before.

        A candidate that does not compile, crashes or is wrong is reported so and does not race.
        """
        if graph in self._seen:
            return None
        self._seen.add(graph)
        report = CandidateReport(name, predicted_us, graph.size(), dict(rules))
        try:
            program = self.program.with_graph(precompute(graph, frozen, self.evaluate))
            executable = self._compile(program)
            if self.verifies:
                _judge(report, verify(_runner(executable), self.samples))
        except Exception as error:  # whatever a compiler may raise: this candidate is out
            report.outcome, report.reason = "failed", f"{type(error).__name__}: {error}"
            return report
        if report.verified is not False:
            self.candidates.append(Candidate(program, executable, report))
        return report

    def race(
        self,
        candidates: Sequence[Candidate],
        time_limit_s: float,
        against: Candidate | None = None,
    ) -> RaceResult:
        """Time candidates against the original (or another candidate), on the same inputs.

        Against the original, what was measured goes into the candidates' reports.
        """
        base = self.original if against is None else against.executable
        result = race(
            self._timed(base),
            [self._timed(candidate.executable) for candidate in candidates],
            time_limit_s=time_limit_s,
        )
        return result

    def _timed(self, executable: Executable) -> Callable[[], object]:
        arrays = self._arrays
        return lambda: jax.block_until_ready(executable(arrays))


def _judge(report: CandidateReport, verdict: Verdict) -> None:
    report.verified = verdict.passed
    if not verdict.passed:
        report.outcome, report.reason = "rejected", verdict.reason
    worst = verdict.worst
    if worst is not None:
        report.largest_error, report.allowed_error = worst.candidate, worst.allowed
        report.original_error = worst.original


def _tensor_types(program: Program) -> list[TensorType]:
    for type in program.graph.inputs:
        if not isinstance(type, TensorType):
            raise SaturaxError(
                f"{program.name} takes a value of type {type}, so it cannot be run for checking "
                "and timing; expected tensors only"
            )
    return [type for type in program.graph.inputs if isinstance(type, TensorType)]


def _on_device(inputs: Sequence[Array]) -> list[jax.Array]:
    device = default_device()
    with jax.enable_x64(True):
        return [jax.device_put(array, device) for array in inputs]


def _runner(executable: Executable) -> Callable[[Sequence[Array]], list[Array]]:
    return lambda inputs: [np.asarray(out) for out in executable(_on_device(inputs))]
