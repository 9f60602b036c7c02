"""Strongly connected components of a graph given as successors.

SciPy has them, but takes 0.2 s to import: as long as extracting a program of many hundred
operations takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def strong_components(successors: Sequence[Iterable[int]]) -> list[int]:
    """The label of every vertex: two have the same if each reaches the other.

    Tarjan's algorithm (1972), without recursion.

    >>> strong_components([[1], [0, 2], []])
    [1, 1, 0]
    """
    count = len(successors)
    label = [-1] * count
    lowest = [-1] * count  # before a label is known: the earliest vertex that is reached
    open_vertices: list[int] = []
    found = visits = 0
    for start in range(count):
        if lowest[start] >= 0:
            continue
        lowest[start] = number = visits
        visits += 1
        open_vertices.append(start)
        stack = [(start, number, iter(successors[start]))]
        while stack:
            here, number, left = stack[-1]
            for after in left:
                if lowest[after] < 0:
                    lowest[after] = visits
                    open_vertices.append(after)
                    stack.append((after, visits, iter(successors[after])))
                    visits += 1
                    break
                if label[after] < 0 and lowest[after] < lowest[here]:
                    lowest[here] = lowest[after]
            else:
                stack.pop()
                if stack and lowest[here] < lowest[stack[-1][0]]:
                    lowest[stack[-1][0]] = lowest[here]
                if lowest[here] == number:
                    while label[here] < 0:
                        label[open_vertices.pop()] = found
                    found += 1
    return label
