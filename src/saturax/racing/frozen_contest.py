"""A contest in which some inputs are frozen: what depends on them alone is computed beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from saturax.assembly.split import Split, split, with_constants
from saturax.checking.inputs import Array
from saturax.checking.samples import Run
from saturax.checking.verify import verify
from saturax.graph.ir import Graph, Program
from saturax.jaxlib_compat import Executable
from saturax.racing.contest import Candidate, Contest, running
from saturax.racing.footprint import Footprint
from saturax.racing.select import WARM_UPS, RaceEntry, RaceResult
from saturax.racing.work import Work
from saturax.report.model import CandidateReport

# A race between two forms of one program: weights as arguments or as constants.
_FORM_RACE_S = 2.0
# In fewer pairs it tells nothing, and constants are not even compiled.
_LEAST_FORM_PAIRS = 4
# Constants cost memory, time to start and a compilation for new values, but who freezes a function
# wants speed: more than this would be given away where XLA likes constants better. Where the race
# is sure that they are faster, a smaller gain counts.
_LEAST_GAIN, _LEAST_SURE_GAIN = 1.02, 1.005
# Where constants make the original so many times as fast, they change which candidate is the best:
# of six of a small Llama, at 1.4, the slowest but one with arguments was the fastest by a tenth.
# Few are tried, since each is compiled once more.
_TELLING_GAIN, _MOST_RIVALS = 1.05, 2


@dataclass
class FrozenContest(Contest):
    """Candidates are split into a prologue and a main program, and only the latter is timed.

    XLA may like weights better as constants or as arguments. Candidates are compiled with arguments
    and race the original in that form; the best of them then meets the original in the faster of
    its forms, which is `original_split`. Where that is the one with constants, so may be the best
    candidate's, and where it is by far, other candidates may take its place in this form.
    `largest_bytes` bounds the values that a candidate holds ready.
    """

    frozen: tuple[int, ...] = ()
    largest_bytes: float = float("inf")

    def __post_init__(self) -> None:
        super().__post_init__()
        arrays = self.samples[0].inputs if self.samples else [np.asarray(x) for x in self._arrays]
        self._inputs: list[Array] = arrays
        self.original_split = split(self.program, self.frozen)
        self._with_arguments = Candidate(
            self.program, self.original, CandidateReport("original", 0.0, 0), self._arrays
        )
        self._constants_gain = 0.0
        self._base: Candidate = self._fastest_form(self._with_arguments, self.original_split)
        if self._base.split is not None:
            self.original_split = self._base.split

    def best_form(self, champion: Candidate) -> Candidate:
        """The candidate, or another one, with constants if XLA makes more of it so.

        What makes the original no faster is not tried: a second compilation, and a race more.
        """
        assert champion.split is not None
        if self._base is self._with_arguments:
            return champion
        best = self._fastest_form(champion, champion.split)
        if self._constants_gain < _TELLING_GAIN:
            return best
        for rival in self._rivals(champion):
            assert rival.split is not None
            form = self._fastest_form(rival, rival.split, against=best)
            if form is not rival:
                best.report.outcome, best.report.reason = "slower", "than another, with constants"
                best = form
        return best

    def _rivals(self, champion: Candidate) -> list[Candidate]:
        """Candidates that may be better than the best one, once both have constants.

        First the one of the lowest prediction, then the fastest by the races there were.
        """
        others = [each for each in self.candidates if each is not champion]
        promising = sorted(others, key=lambda each: each.report.predicted_us or float("inf"))[:1]
        fast = sorted(others, key=lambda each: -(each.report.ratio or 0.0))
        return [*promising, *(each for each in fast if each not in promising)][:_MOST_RIVALS]

    def _fastest_form(
        self, candidate: Candidate, parts: Split, against: Candidate | None = None
    ) -> Candidate:
        """The candidate itself, or its form with constants where that is faster than `against`.

        That is the candidate unless another is given.
        """
        if 2 * (WARM_UPS + _LEAST_FORM_PAIRS) * self.call_s > _FORM_RACE_S:
            return candidate
        try:
            other = self._with_constants(candidate, parts)
        except Exception as error:  # whatever a compiler may raise: the form is out
            candidate.report.reason = f"with constants: {type(error).__name__}: {error}"
            return candidate
        if other is None:
            return candidate
        result = self.race([other], _FORM_RACE_S, against=against or candidate)
        if not _is_gain(result.entries[0]):
            return candidate
        if candidate is self._with_arguments:
            self._constants_gain = result.entries[0].ratio or 0.0
        candidate.report.name += ", with constants"
        return other

    def _with_constants(self, candidate: Candidate, parts: Split) -> Candidate | None:
        """The candidate with its prepared values as constants; None if it is wrong so."""
        prepared = self._prepared(parts, self._compiled_prologue(parts), self._inputs)
        program = with_constants(parts.main, [np.asarray(value) for value in prepared])
        executable = self._compile(program)
        runner = self._runner_of(lambda inputs: [], executable)
        # Constants are fixed: only the inputs that they were made of can be compared.
        if self.verifies and not verify(runner, self.samples[:1]).passed:
            return None
        return Candidate(
            candidate.program,
            executable,
            candidate.report,
            self.original.put(self._others(self._inputs)),
            replace(parts, constants=True),
        )

    def _build(
        self, graph: Graph, frozen: Sequence[int], report: CandidateReport
    ) -> tuple[Candidate, Run]:
        program = self.program.with_graph(graph)
        parts = split(program, self.frozen, frozen, self.largest_bytes).held()
        return self._built(parts.main, parts, report)

    def _built(
        self, program: Program, parts: Split | None, report: CandidateReport
    ) -> tuple[Candidate, Run]:
        assert parts is not None, "expected a program that is split, as inputs are frozen"
        prologue, executable = self._compiled_prologue(parts), self._compile(parts.main)

        def prepare(inputs: Sequence[Array]) -> list[jax.Array]:
            return self._prepared(parts, prologue, inputs)

        arrays = [*prepare(self._inputs), *self.original.put(self._others(self._inputs))]
        report.operations = parts.main.graph.size()
        candidate = Candidate(parts.main, executable, report, arrays, parts)
        return candidate, self._runner_of(prepare, executable)

    def _compiled_prologue(self, parts: Split) -> Executable | None:
        return self._compile(parts.prologue) if parts.prologue.graph.outputs else None

    def _prepared(
        self, parts: Split, prologue: Executable | None, inputs: Sequence[Array]
    ) -> list[Any]:
        frozen = self.original.put([inputs[index] for index in self.frozen])
        literals = self.original.put([literal.array for literal in parts.literals])
        return prepared_values(parts, prologue, frozen, literals)

    def _others(self, inputs: Sequence[Array]) -> list[Array]:
        return [array for index, array in enumerate(inputs) if index not in self.frozen]

    def _runner_of(
        self, prepare: Callable[[Sequence[Array]], list[jax.Array]], executable: Executable
    ) -> Run:
        def run(inputs: Sequence[Array]) -> list[Array]:
            with running(self.on_ran):
                arguments = [*prepare(inputs), *self.original.put(self._others(inputs))]
                return [np.asarray(out) for out in executable(arguments)]

        return run

    def _timed_original(self) -> Callable[[], object]:
        return self._timed(self._with_arguments)

    def last_race(self, champion: Candidate, time_limit_s: float) -> RaceResult:
        """Time a candidate against the original in the faster of its forms."""
        return self.race([champion], time_limit_s, against=self._base)

    def original_footprint(self) -> Footprint:
        """The memory that the original needs in the form that takes part."""
        return self.footprint(self._base)

    def _original_work(self) -> Work | None:
        return self._work(self._base.executable)


def _is_gain(entry: RaceEntry) -> bool:
    """Whether the form with constants is worth its price: both forms are the same program."""
    if entry.ratio is None or entry.interval is None:
        return False
    is_sure = entry.interval[0] > 1
    return entry.ratio >= (_LEAST_SURE_GAIN if is_sure else _LEAST_GAIN)


def prepared_values(
    parts: Split,
    prologue: Executable | None,
    frozen: Sequence[jax.Array],
    literals: Sequence[jax.Array],
) -> list[Any]:
    """Run a prologue on the values of the frozen inputs; what the main program takes of it all."""
    computed = [] if prologue is None else prologue([*frozen, *literals])
    return parts.pool(frozen, literals, computed)
