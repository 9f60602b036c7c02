"""Random small extraction problems, and their optimum by enumeration."""

from __future__ import annotations

import math
import random
from itertools import product

from saturax.extract.problem import Problem, Selection, dag_cost, is_valid, restrict


def random_problem(seed: int, classes: int = 6, alternatives: int = 3) -> Problem:
    """A small problem with cycles, shared classes, free and forbidden nodes; maybe infeasible."""
    draw = random.Random(seed)
    class_count = draw.randint(1, classes)
    upwards = draw.choice([0.0, 0.2, 0.6])
    prices = draw.choice([[1, 2, 3], [0, 0, 1, 5], [0.1, 0.2, 0.3, 0.7], [1, 10, math.inf]])
    nodes = []
    for owner in range(class_count):
        for _ in range(draw.randint(1, alternatives)):
            children = []
            for _ in range(draw.choice([0, 1, 1, 2, 2, 3])):
                if draw.random() < upwards:
                    children.append(draw.randrange(class_count))
                elif owner:
                    children.append(draw.randrange(owner))
            nodes.append((owner, draw.choice(prices), children))
    roots = draw.sample(range(class_count), draw.choice([1, 1, min(2, class_count)]))
    if draw.random() < 0.5:
        roots = [class_count - 1]
    return Problem.build(class_count, nodes, roots)


def best_by_enumeration(problem: Problem) -> float:
    """Cost of the optimum; infinite if there is no valid selection of finite cost."""
    best = math.inf
    for choice in product(*(members or (None,) for members in problem.members)):
        selection = {c: n for c, n in enumerate(choice) if n is not None}
        if is_valid(problem, selection):
            best = min(best, dag_cost(problem, selection))
    return best


def random_selection(problem: Problem, seed: int) -> Selection | None:
    """Any valid selection of finite cost (by luck), or None."""
    draw = random.Random(seed)
    for _ in range(20):
        selection = {
            c: draw.choice(members) for c, members in enumerate(problem.members) if members
        }
        if is_valid(problem, selection) and dag_cost(problem, selection) < math.inf:
            return restrict(problem, selection)
    return None
