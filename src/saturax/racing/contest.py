"""Candidates against the original: compile, verify and time them on the same inputs."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np

from saturax.assembly.holding import hold_products
from saturax.assembly.precompute import precompute
from saturax.assembly.split import Split
from saturax.checking.endless import MOST_STEPS, counting
from saturax.checking.inputs import Array, draw
from saturax.checking.isolate import isolate
from saturax.checking.samples import EndlessError, Run, Sample, take_samples
from saturax.checking.verify import Verdict, verify
from saturax.errors import SaturaxError
from saturax.graph.ir import Graph, Program
from saturax.graph.types import TensorType
from saturax.jaxlib_compat import Executable, compile_module
from saturax.mlir_modules import ModuleError, ModuleSource, parse_module, without_donation
from saturax.racing.evidence import LOOKS, NO_PAIRS, Pairs, chance, least_pairs
from saturax.racing.footprint import Footprint, measure
from saturax.racing.select import LONG_CALL_S, RaceEntry, RaceResult, calls_in_a_row, race
from saturax.racing.work import Work, is_less, work_of
from saturax.report.model import CandidateReport
from saturax.run import unless_interrupted
from saturax.stablehlo import emit_module, widen

# A tie: the least median of original over candidate, and the least ends of its interval. Where it
# is wider, the race has told nothing.
_AS_FAST, _AS_FAST_INTERVAL = 0.98, (0.95, 1.0)
# Share of the allowed error that a candidate may have to win a tie.
_GOOD_ERROR_SHARE = 0.6
# Options of the compiler: those of the program, and what the reference, which is run a few times
# and never timed, has besides. Compiled with level 1 in half the time of level 3, a training step
# and a lattice Boltzmann step ran as fast; with level 0, 4 to 20 times slower.
_AS_ASKED: Mapping[str, Any] = {}
_QUICKLY: dict[str, Any] = {"xla_backend_optimization_level": 1}
# The reference makes all weights float64. XLA:CPU does so before all else, to have work for many
# cores: of GPT-2's that was 0.98 GB at a time, and is 0.31 in an order that saves memory.
_SPARINGLY = _QUICKLY | {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
# A longer call on a sample has warmed the program up, and another one would cost as much again.
_LONG_SAMPLE_S = 0.2
# A race goes on from so many pairs at most, so that as many again are new.
_MOST_BEGUN = LOOKS[-1] // 2
# Inputs on which steps that lose accuracy are looked for.
_MOST_BLAMING = 2


@contextmanager
def running(on_ran: Callable[[float], None]) -> Iterator[None]:
    """A block in which programs run; `on_ran` is told for how many seconds."""
    start = time.monotonic()
    try:
        yield
    finally:
        on_ran(time.monotonic() - start)


@dataclass
class Candidate:
    """A program in the contest, with what is known of it and the `arrays` it is timed on."""

    program: Program
    executable: Executable
    report: CandidateReport
    arrays: Sequence[jax.Array]
    split: Split | None = None


@dataclass
class Contest:
    """The original program, inputs to judge others by, and the candidates entered so far.

    Programs run on `devices` (none: the default device), without their effects (`isolate`),
    compiled with `compiler_options`.
    `on_compiled` is told how long XLA compiled: the time limit does not include it; `on_ran` how
    long programs ran, to check or to time them.
    Candidates that need more memory than `memory_limit_bytes` do not take part.
    `sampling_limit_s` bounds the search for inputs to compare programs on. `source` is the module
    that the program was read from: XLA orders the same operations differently where they are
    written anew, and candidates have to beat what would run without them.
    """

    program: Program
    examples: Sequence[Array | None] | None
    verifies: bool
    with_special_values: bool
    seed: int
    on_compiled: Callable[[float], None] = lambda seconds: None
    devices: tuple[jax.Device, ...] = ()
    on_ran: Callable[[float], None] = lambda seconds: None
    sampling_limit_s: float = math.inf
    compiler_options: Mapping[str, Any] = field(default_factory=dict)
    memory_limit_bytes: int | None = None
    source: ModuleSource | None = None
    candidates: list[Candidate] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        isolated = isolate(self.program)
        self._types = _tensor_types(isolated)
        if self.examples is not None:  # nobody knows what effects will return
            unknown = len(self._types) - len(self.examples)
            self.examples = (*self.examples, *(None,) * unknown)
        self.original = self._compile_original(isolated)
        if self.verifies:
            wide = widen(isolated)
            reference = self._compile_reference(wide)
            self.samples = take_samples(
                self._ending(isolated, self._runner(self.original)),
                self._ending(wide, self._runner(reference)),
                self._types,
                self.examples,
                with_special_values=self.with_special_values,
                seed=self.seed,
                time_limit_s=self.sampling_limit_s,
            )
        inputs = self.samples[0].inputs if self.samples else self._unchecked_inputs()
        self._arrays = self.original.put(inputs)
        self._seen: set[Graph] = {self.program.graph}
        self._works: dict[int, Work | None] = {}
        self._pairs: dict[tuple[Executable, Executable], Pairs] = {}
        self._footprints: WeakKeyDictionary[Executable, Footprint] = WeakKeyDictionary()

    def _unchecked_inputs(self) -> list[Array]:
        kind = "normal" if self.examples is None else "given"
        return draw(kind, self._types, self.examples, 1.0, self.seed)

    def _compile_original(self, isolated: Program) -> Executable:
        if self.source is None or isolated is not self.program:
            return self._compile(isolated)
        module = without_donation(parse_module(self.source))
        return self._compile_module(module, self.devices)

    def _compile_reference(self, wide: Program) -> Executable:
        try:
            return self._compile(wide, _SPARINGLY)
        except ModuleError:  # a compiler that does not know the order
            return self._compile(wide, _QUICKLY)

    def _compile(self, program: Program, more: Mapping[str, Any] = _AS_ASKED) -> Executable:
        module = without_donation(emit_module(isolate(program)))
        return self._compile_module(module, self.devices, more)

    def _compile_module(
        self,
        module: ModuleSource,
        devices: Sequence[jax.Device],
        more: Mapping[str, Any] = _AS_ASKED,
    ) -> Executable:
        start = time.monotonic()
        options = {**self.compiler_options, **more}
        executable = compile_module(module, devices=devices, options=options)
        self.on_compiled(time.monotonic() - start)
        return executable

    def evaluate(self, graph: Graph, inputs: Sequence[Array]) -> list[Array]:
        """Run a graph on inputs, as `precompute` asks for it."""
        return self._runner(self._compile_part(self._part(graph)))(inputs)

    def evaluate_on_samples(self, graph: Graph, *, is_wide: bool = False) -> list[list[Array]]:
        """Run a graph of the program's inputs on some that candidates were checked on."""
        part = self._part(graph)
        run = self._runner(self._compile_part(widen(part) if is_wide else part, _QUICKLY))
        drawn = [sample for sample in self.samples if sample.distribution != "special"]
        return [run(sample.inputs) for sample in drawn[:_MOST_BLAMING]]

    def evaluate_on_examples(self, graph: Graph) -> list[Array]:
        """Run a graph of the program's inputs on those that candidates are timed on."""
        executable = self._compile_part(self._part(graph))
        with running(self.on_ran):
            return [np.asarray(out) for out in executable(self._arrays)]

    def _part(self, graph: Graph) -> Program:
        return Program(graph, symbols=self.program.symbols)

    def _compile_part(self, part: Program, more: Mapping[str, Any] = _AS_ASKED) -> Executable:
        """A part of the program, on one device whatever the program's are."""
        return self._compile_module(emit_module(part), self.devices[:1], more)

    def enter(
        self,
        name: str,
        graph: Graph,
        frozen: Sequence[int],
        predicted_us: float | None,
        rules: Counter[str],
    ) -> CandidateReport | None:
        """Add a candidate if it is new and passes the check; None if it was there before.

        A candidate that does not compile, crashes or is wrong is reported so and does not race.
        """
        if graph in self._seen:
            return None
        self._seen.add(graph)
        report = CandidateReport(name, predicted_us, graph.size(), dict(rules))
        self._enter(report, lambda: self._build(graph, frozen, report))
        return report

    def enter_known(
        self, name: str, program: Program, parts: Split | None, rules: Counter[str]
    ) -> CandidateReport:
        """Add a finished program, split if inputs are frozen, if it passes the check."""
        report = CandidateReport(name, 0.0, program.graph.size(), dict(rules))
        self._enter(report, lambda: self._built(program, parts, report))
        return report

    def best_form(self, champion: Candidate) -> Candidate:
        """The fastest of the forms that the program can be had in: there is one."""
        return champion

    def last_race(self, champion: Candidate, time_limit_s: float) -> RaceResult:
        """Time a candidate against the original as it would run."""
        return self.race([champion], time_limit_s)

    def _enter(self, report: CandidateReport, build: Callable[[], tuple[Candidate, Run]]) -> None:
        try:
            candidate, runner = build()
            if not self._admits(candidate):
                return
            if self.verifies:
                _judge(report, verify(runner, self.samples))
        except Exception as error:  # whatever a compiler may raise: this candidate is out
            report.outcome, report.reason = "failed", f"{type(error).__name__}: {error}"
            return
        if report.verified is not False:
            self.candidates.append(candidate)

    def footprint(self, candidate: Candidate) -> Footprint:
        """The memory that a candidate needs."""
        parts = candidate.split
        constants = parts.bytes_after if parts is not None and parts.constants else 0
        return self._footprint(candidate.program, candidate.executable, constants)

    def original_footprint(self) -> Footprint:
        """The memory that the original needs."""
        return self._footprint(self.program, self.original, 0)

    def _footprint(self, program: Program, executable: Executable, constants: int) -> Footprint:
        if executable not in self._footprints:
            self._footprints[executable] = measure(isolate(program), executable, constants)
        return self._footprints[executable]

    def _admits(self, candidate: Candidate) -> bool:
        """Note the memory that a candidate needs; whether that is within the limit."""
        found, report = self.footprint(candidate), candidate.report
        report.predicted_bytes, report.planned_bytes = found.predicted_bytes, found.planned_bytes
        if not found.exceeds(self.memory_limit_bytes):
            return True
        report.outcome = "rejected"
        report.reason = f"it needs {found.known_bytes:,} bytes of memory, more than the limit"
        return False

    def _build(
        self, graph: Graph, frozen: Sequence[int], report: CandidateReport
    ) -> tuple[Candidate, Run]:
        """A candidate, and how its program is run on inputs of the original."""
        prepared = precompute(graph, frozen, self.evaluate)
        program = self.program.with_graph(hold_products(prepared))
        return self._built(program, None, report)

    def _built(
        self, program: Program, parts: Split | None, report: CandidateReport
    ) -> tuple[Candidate, Run]:
        executable = self._compile(program)
        if executable.output_shardings() != self.original.output_shardings():
            raise SaturaxError("expected results sharded as the original's, but they would not be")
        arrays = executable.put(self._arrays)
        runner = self._ending(isolate(program), self._runner(executable))
        return Candidate(program, executable, report, arrays), runner

    def _ending(self, program: Program, run: Run) -> Run:
        """`run`, which raises `EndlessError` for inputs on which the program might not end."""
        counted = counting(program)
        if counted is None:
            return run
        is_endless = self._runner(self._compile(counted, _QUICKLY))

        def checked(inputs: Sequence[Array]) -> list[Array]:
            if is_endless(inputs)[0].any():
                raise EndlessError(f"a loop did not end within {MOST_STEPS} steps")
            return run(inputs)

        return checked

    def _runner(self, executable: Executable) -> Run:
        """Runs an executable on arrays. It does not hold the contest, whose samples hold it: the
        user's buffers, which samples hold as well, have to be free to be donated at once.
        """
        on_ran = self.on_ran

        def run(inputs: Sequence[Array]) -> list[Array]:
            with running(on_ran):
                return [np.asarray(out) for out in executable(executable.put(inputs))]

        return run

    def wins_tie(self, candidate: Candidate, entry: RaceEntry) -> bool:
        """Whether a candidate that a race did not tell from the original is the better program.

        It does less work by XLA's counts, is not measured to be slower, and is well within the
        error that is allowed: the original wins ties that cost time, accuracy or memory, and those
        of too few pairs to tell anything.
        """
        if entry.ratio is None or entry.interval is None or entry.runs < least_pairs():
            return False
        ends = zip(entry.interval, _AS_FAST_INTERVAL, strict=True)
        is_as_fast = entry.ratio >= _AS_FAST and all(end >= least for end, least in ends)
        report = candidate.report
        is_accurate = (
            report.allowed_error is None
            or report.largest_error is None
            or (report.largest_error <= _GOOD_ERROR_SHARE * report.allowed_error)
        )
        return is_as_fast and is_accurate and self.does_less(candidate, None)

    def does_less(self, candidate: Candidate, other: Candidate | None) -> bool:
        """Whether a candidate does less work than another, or than the original."""
        theirs = self._original_work() if other is None else self._work(other.executable)
        return is_less(self._work(candidate.executable), theirs)

    def _original_work(self) -> Work | None:
        return self._work(self.original)

    def _work(self, executable: Executable) -> Work | None:
        if id(executable) not in self._works:
            self._works[id(executable)] = work_of(executable)
        return self._works[id(executable)]

    @cached_property
    def call_s(self) -> float:
        """Seconds that a call of the original takes: the shorter of two, one if it is long.

        What it took on samples is no measure: handing over half a gigabyte of weights takes as long
        as the call of GPT-2 does.
        """
        sampled_s = min((sample.original_s for sample in self.samples), default=0.0)
        times = []
        with running(self.on_ran):
            for _ in range(1 if sampled_s > _LONG_SAMPLE_S else 2):
                start = time.monotonic()
                self._timed_original()()
                times.append(time.monotonic() - start)
        return min(times)

    def race(
        self,
        candidates: Sequence[Candidate],
        time_limit_s: float,
        against: Candidate | None = None,
        *,
        is_last: bool = True,
    ) -> RaceResult:
        """Time candidates against the original (or another candidate), on the same inputs.

        The first race is gone on with by the last, where calls are long. What comes between is not:
        of many races one is lucky, and its pairs would be those that the last begins with. Pairs of
        short calls are cheap: they are timed anew, at another moment.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the race.
        """
        first = self.original if against is None else against.executable
        keys = [(first, candidate.executable) for candidate in candidates]
        begun = self._pairs.get(keys[0]) if is_last and len(keys) == 1 else None
        with running(self.on_ran):
            result = race(
                self._timed_original() if against is None else self._timed(against),
                [self._timed(candidate) for candidate in candidates],
                time_limit_s=time_limit_s,
                begun=begun,
                is_last=is_last,
            )
        if self.has_long_calls and not is_last and not self._pairs:
            timed = zip(keys, (entry.pairs for entry in result.entries), strict=True)
            self._pairs = {key: pairs for key, pairs in timed if 0 < len(pairs) <= _MOST_BEGUN}
        return unless_interrupted(result)

    @property
    def has_long_calls(self) -> bool:
        """Whether pairs are so dear that none is thrown away."""
        return self.call_s > LONG_CALL_S

    def seconds_of(self, pairs: int) -> float:
        """Seconds that so many pairs of programs as fast as the original take."""
        return pairs * 2 * sum(calls_in_a_row(self.call_s)) * self.call_s

    def chance(self, candidate: Candidate, time_limit_s: float) -> float:
        """How probable it is that the last race, in so many seconds, decides for a candidate."""
        pairs = self._pairs.get((self.original, candidate.executable), NO_PAIRS)
        more = int(time_limit_s / max(self.seconds_of(1), 1e-9))
        return chance(pairs, min(more, LOOKS[-1] - len(pairs)))

    def _timed_original(self) -> Callable[[], object]:
        return lambda: jax.block_until_ready(self.original(self._arrays))

    def _timed(self, candidate: Candidate) -> Callable[[], object]:
        executable, arrays = candidate.executable, candidate.arrays
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
