"""The extraction stage: incumbent → reduce → greedy → switches → bound → exact → neighbourhoods →
variety.

Anytime: a valid incumbent exists from the start, every later stage can only improve it, and no
failure or interruption of a stage loses it.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from saturax.extract.greedy import dag_greedy, tree_greedy
from saturax.extract.ilp import solve_exact
from saturax.extract.landmarks import Landmarks, find_landmarks
from saturax.extract.problem import (
    InfeasibleProblemError,
    Problem,
    Selection,
    restrict,
    selected_us,
)
from saturax.extract.reduce import Reduced, reduce_problem
from saturax.extract.search import neighbourhood_search
from saturax.extract.solver import SolverProcess
from saturax.extract.switches import Evaluate, Pool, draw_prices, switch_search

# Share of the time limit for reducing: what is reduced in part is searched, too. 50,000 nodes took
# nine tenths of 2 s, and nothing was tried.
_REDUCE_SHARE = 0.3
# Share of the time limit for landmarks: 7,500 nodes took 0.2 s.
_BOUND_SHARE = 0.3
# Problems of so many nodes, those left out that are too dear for anything better than what is
# known, are solved exactly: 3,400 nodes took 3 s, and more than 6,500 more than 5.
_EXACT_NODES = 5_000
_ROUNDING = 1e-9
# Rounds without progress after which the search has hardly anything left to find, and more of them
# per node: a round visits only a part of a large problem. Where there was something to find (up to
# 14,000 nodes), the first rounds found some of it and the longest wait was two rounds; thirty more
# rounds found less than a hundred thousandth of the cost.
_PATIENCE, _PATIENCE_PER_NODE = 3, 0.0002
# Varied selections: attempts per wanted one, price spreads, time per attempt set aside.
_DRAWS_PER_SELECTION = 4
_SPREADS = (0.1, 0.2, 0.4)
_VARIETY_SHARE, _VARIETY_S = 0.15, 0.2
_CLOSED = 1e-5
# The best lower bounds that were proven of problems at their prices.
_BOUNDS: WeakKeyDictionary[Problem, float] = WeakKeyDictionary()


@dataclass(frozen=True)
class StageNote:
    """One stage of an extraction: what it took, the best cost after it, and what it says."""

    name: str
    seconds: float
    cost_us: float
    note: str


@dataclass(frozen=True, eq=False)
class Extraction:
    """Result of `extract`.

    `selections` are distinct and valid, best first, the first never worse than the initial one;
    `costs_us` are their costs, by the arbiter if there was one. `lower_bound_us` bounds the sum of
    prices of any selection (None when an arbiter decided), and `gap` is (cost − bound) / cost.
    """

    selections: tuple[Selection, ...]
    costs_us: tuple[float, ...]
    lower_bound_us: float | None
    stages: tuple[StageNote, ...]
    stop_reason: str

    @property
    def cost_us(self) -> float:
        """Cost of the best selection."""
        return self.costs_us[0]

    @property
    def gap(self) -> float | None:
        """Share of the cost that the bound leaves open: 0 means proven optimal."""
        if self.lower_bound_us is None:
            return None
        if not 0 < self.cost_us < math.inf:
            return 0.0 if self.cost_us <= self.lower_bound_us else 1.0
        return max(0.0, (self.cost_us - self.lower_bound_us) / self.cost_us)


def extract(
    problem: Problem,
    *,
    time_limit_s: float,
    initial: Selection | None = None,
    others: Sequence[Selection] = (),
    count: int = 1,
    evaluate: Evaluate | None = None,
    iterations: int | None = None,
    close_enough: float = _CLOSED,
    seed: int = 0,
    on_progress: Callable[[StageNote], None] | None = None,
) -> Extraction:
    """The cheapest selection that `time_limit_s` seconds can find, and up to `count` − 1 others.

    `initial` (the original program) is the first incumbent; `others` were found before, as by a
    search at other prices, and may be among the results. `evaluate`, if given, is the true
    objective in microseconds and decides everything; prices only propose. With `iterations`, at
    most that many neighbourhoods are solved and the whole problem is not solved exactly, so that
    the result is the same for the same seed whenever the time limit suffices. The search ends when
    (cost − bound) / bound is proven to be `close_enough`. Ctrl-C ends it, too, and returns the best
    so far.

    >>> problem = Problem.build(2, [(0, 1.0, [1]), (0, 9.0, []), (1, 2.0, [])], [0])
    >>> extract(problem, time_limit_s=0, initial={0: 1}).cost_us
    9.0
    >>> extract(problem, time_limit_s=5).cost_us
    3.0

    Raises:
        InvalidSelectionError: `initial` or one of `others` is incomplete or cyclic.
        InfeasibleProblemError: no selection of finite cost exists, and none is given.
    """
    started = time.monotonic()
    run = _Run(problem, evaluate, started, started + time_limit_s, close_enough, on_progress)
    if initial is not None:
        run.offer(restrict(problem, initial))
    for other in others:
        run.offer(restrict(problem, other))
    if time_limit_s <= 0:
        if initial is None:
            run.offer(tree_greedy(problem))
        return run.result("no time given", None, count)
    try:
        with SolverProcess() as solver:
            stop_reason = run.search(solver, count, iterations, seed)
        if evaluate is None:
            _BOUNDS[problem] = run.bound_us
    except KeyboardInterrupt:
        if run.best is None:
            raise
        stop_reason = "interrupted"
    return run.result(stop_reason, run.bound_us, count)


class _Run:
    """State of one extraction. The incumbent is a selection of the original problem."""

    def __init__(
        self,
        problem: Problem,
        evaluate: Evaluate | None,
        started: float,
        deadline: float,
        close_enough: float,
        on_progress: Callable[[StageNote], None] | None,
    ) -> None:
        self.problem = problem
        self.evaluate = evaluate
        self.deadline = deadline
        self.limit_s = deadline - started
        self.close_enough = close_enough
        self.stage_started = started
        self.on_progress = on_progress
        self.best: Selection | None = None
        self.best_us = math.inf
        self.bound_us = 0.0 if evaluate is not None else _BOUNDS.get(problem, 0.0)
        self.varied = Pool(10_000)
        self.keys: set[Hashable] = set()
        self.stages: list[StageNote] = []

    def objective(self, selection: Selection) -> float:
        """True cost of a selection of the original problem, which has nothing superfluous."""
        if self.evaluate is not None:
            return self.evaluate(selection)
        return selected_us(self.problem, selection)

    def offer(self, selection: Selection) -> float:
        """Take the selection as incumbent if it is better; remember it if it is different."""
        cost_us = self.objective(selection)
        if self.best is None or cost_us < self.best_us:
            self.best, self.best_us = selection, cost_us
        key = self._kernels(selection)
        if key not in self.keys:
            self.keys.add(key)
            self.varied.add(selection, cost_us)
        return cost_us

    def _kernels(self, selection: Selection) -> Hashable:
        """What makes two selections different programs: the kernels that cost time."""
        cost, kinds = self.problem.cost_us, self.problem.signatures
        paid = [node for node in selection.values() if cost[node] > 0]
        return frozenset(Counter(paid if kinds is None else (kinds[n] for n in paid)).items())

    def note(self, name: str, text: str) -> None:
        """Close a stage."""
        now = time.monotonic()
        self.stages.append(StageNote(name, now - self.stage_started, self.best_us, text))
        self.stage_started = now
        if self.on_progress is not None:
            self.on_progress(self.stages[-1])

    def is_closed(self) -> bool:
        """Whether the incumbent is proven to be as close to the optimum as was asked."""
        return self.evaluate is None and self.best_us <= self.bound_us * (1 + self.close_enough)

    def closed_reason(self) -> str:
        """How close it is proven to be."""
        is_optimal = self.best_us <= self.bound_us * (1 + _CLOSED)
        return "optimal" if is_optimal else "close enough"

    def search(self, solver: SolverProcess, count: int, iterations: int | None, seed: int) -> str:
        """All stages; the reason for stopping."""
        self.improve_incumbent()
        try:
            reduced = reduce_problem(
                self.problem,
                keep_alternatives=self.evaluate is not None,
                deadline=min(self.deadline, time.monotonic() + _REDUCE_SHARE * self.limit_s),
            )
        except InfeasibleProblemError:
            if self.best is None:
                raise
            return "no selection of finite cost exists"
        nodes = reduced.problem.node_count
        self.note("reduce", f"{self.problem.node_count} → {nodes} nodes")
        if self.best is not None and time.monotonic() >= self.deadline:
            return "time limit"
        landmarks = None
        if count == 1 and self.best is not None and self.evaluate is None:
            # A good start is often proven to be close enough, and nothing else was asked for.
            landmarks = self._bound(reduced, self.deadline)
            if self.is_closed():
                return self.closed_reason()
        pool = Pool()
        self.start_greedily(reduced, pool)
        reserve_s = min(_VARIETY_SHARE * self.limit_s, _VARIETY_S * _DRAWS_PER_SELECTION * count)
        until = self.deadline - (reserve_s if count > 1 else 0.0)
        stop_reason = self.improve(reduced, landmarks, pool, solver, until, iterations, seed)
        if count > 1:
            self.vary(count, seed, min(self.deadline, time.monotonic() + reserve_s))
        return stop_reason

    def improve_incumbent(self) -> None:
        """Switches from what is given, before all else: there may be time for nothing more.

        A problem of 33,000 nodes took 1.7 s to reduce, and 0.3 s to save 3 per cent by switches.
        """
        if self.best is None or self.evaluate is not None or self.best_us == math.inf:
            return
        found = switch_search(self.problem, self.best, deadline=self.deadline)
        self.offer(found.selection)
        self.note("incumbent", f"{found.iterations} tried")

    def start_greedily(self, reduced: Reduced, pool: Pool) -> None:
        """Greedy selections and the initial one, each improved by switches."""
        problem = reduced.problem
        starts = [dag_greedy(problem)]
        self.offer(reduced.expand(starts[0]))
        starts.append(tree_greedy(problem))
        if self.best is not None:
            image = reduced.project(self.best)
            starts += [] if image is None else [image]
        self.note("greedy", "")
        tried = 0
        for start in starts:
            found = switch_search(
                problem,
                start,
                deadline=self.deadline,
                evaluate=self.reduced_objective(reduced),
                pool=pool,
            )
            tried += found.iterations
            pool.add(found.selection, found.cost_us)
            self.offer(reduced.expand(found.selection))
        self.note("switches", f"{tried} tried")

    def _offer_reduced(self, reduced: Reduced, selection: Selection) -> None:
        self.offer(reduced.expand(selection))

    def reduced_objective(self, reduced: Reduced) -> Evaluate | None:
        """The arbiter's opinion on selections of the reduced problem."""
        evaluate = self.evaluate
        if evaluate is None:
            return None
        return lambda selection: evaluate(reduced.expand(selection))

    def improve(
        self,
        reduced: Reduced,
        landmarks: Landmarks | None,
        pool: Pool,
        solver: SolverProcess,
        until: float,
        iterations: int | None,
        seed: int,
    ) -> str:
        """Bound, exact solve and neighbourhoods, as far as they promise anything."""
        problem = reduced.problem
        if not problem.node_count:
            self.bound_us = min(reduced.offset_us, self.best_us)
            return "optimal"
        if landmarks is None and not self.is_closed():
            landmarks = self._bound(reduced, until)
        if landmarks is None or self.is_closed():
            return self.closed_reason()
        if time.monotonic() >= until:
            return "time limit"
        solver.start()
        if iterations is None and self._solve(reduced, landmarks, pool, solver, until):
            return self.closed_reason()
        found = neighbourhood_search(
            problem,
            next(iter(pool))[0],
            solver=solver,
            deadline=until,
            iterations=iterations,
            patience=_PATIENCE + int(_PATIENCE_PER_NODE * problem.node_count),
            seed=seed,
            evaluate=self.reduced_objective(reduced),
            pool=pool,
            on_improvement=lambda selection, _: self._offer_reduced(reduced, selection),
        )
        for selection, _ in pool:
            self._offer_reduced(reduced, selection)
        self.note("neighbourhoods", f"{found.iterations} rounds; {found.stop_reason}")
        if self.is_closed():
            return self.closed_reason()
        return "time limit" if time.monotonic() >= until else found.stop_reason

    def _bound(self, reduced: Reduced, until: float) -> Landmarks:
        """Bound the cost from below by landmarks."""
        limit = min(until, time.monotonic() + _BOUND_SHARE * self.limit_s)
        found = find_landmarks(reduced.problem, limit)
        self.bound_us = max(self.bound_us, reduced.offset_us + found.bound_us)
        self.note("landmarks", f"{len(found.sets)}")
        return found

    def _solve(
        self,
        reduced: Reduced,
        landmarks: Landmarks,
        pool: Pool,
        solver: SolverProcess,
        until: float,
    ) -> bool:
        """Solve what could be better exactly, if it is small; whether that closed the question.

        Nodes that cost more with their landmarks than the best selection known are left out.
        """
        problem, best = reduced.problem, next(iter(pool))[0]
        best_us = selected_us(problem, best)
        costs = [
            cost if least_us <= best_us * (1 + _ROUNDING) else math.inf
            for cost, least_us in zip(problem.cost_us, landmarks.least_us, strict=True)
        ]
        narrowed = reduce_problem(problem.with_costs(costs))
        small = narrowed.problem
        start = narrowed.project(best)
        if start is None or small.node_count > _EXACT_NODES:
            self.note("exact", f"not tried: {small.node_count} nodes")
            return False
        if small.node_count:
            halfway = time.monotonic() + 0.5 * max(until - time.monotonic(), 0.0)
            sets = find_landmarks(small, halfway).sets
            exact = solve_exact(small, start, solver=solver, deadline=halfway, landmarks=sets)
            start, status, least_us = exact.selection, exact.status, exact.lower_bound_us
        else:
            status, least_us = "optimal", 0.0
        selection = narrowed.expand(start)
        cost_us = self.offer(reduced.expand(selection))
        pool.add(selection, selected_us(problem, selection) if self.evaluate is None else cost_us)
        bound_us = reduced.offset_us + narrowed.offset_us + least_us
        self.bound_us = max(self.bound_us, min(bound_us, self.best_us))
        self.note("exact", f"{small.node_count} nodes; {status}")
        return self.is_closed()

    def vary(self, count: int, seed: int, deadline: float) -> None:
        """Other good selections: optimal-looking ones at randomly changed kernel prices.

        Every draw starts from the incumbent and from greedy, both improved by switches at the
        drawn prices. Nothing superfluous is removed before: it may be cheap at other prices.
        """
        draw, problem = random.Random(seed), self.problem
        drawn, known = 0, len(self.varied)
        for index in range(_DRAWS_PER_SELECTION * count):
            if len(self.varied) >= known + count or time.monotonic() > deadline:
                break
            drawn += 1
            priced = problem.with_costs(draw_prices(problem, draw, _SPREADS[index % len(_SPREADS)]))
            for start in [dag_greedy(priced)] + ([] if self.best is None else [self.best]):
                self.offer(switch_search(priced, start, deadline=deadline).selection)
        self.note("variety", f"{drawn} draws, {len(self.varied)} distinct")

    def result(self, stop_reason: str, bound_us: float | None, count: int) -> Extraction:
        """The best selection and the cheapest others."""
        assert self.best is not None
        chosen = [(self.best, self.best_us)]
        key = self._kernels(self.best)
        for selection, cost_us in self.varied:
            if len(chosen) < count and self._kernels(selection) != key:
                chosen.append((selection, cost_us))
        bound = None if self.evaluate is not None else bound_us
        return Extraction(
            tuple(selection for selection, _ in chosen),
            tuple(cost_us for _, cost_us in chosen),
            None if bound is None else min(bound, self.best_us),
            tuple(self.stages),
            stop_reason,
        )
