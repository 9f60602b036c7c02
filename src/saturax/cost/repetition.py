"""What is searched may stand for more: of equal parts of a program one is, and counts as all.

The prices of such a part are multiplied by how often the program has it, so that sums, bounds and
what is worth measuring are those of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Repetition:
    """Parts of a program side by side, which are searched in its place.

    `times` says how often the program computes each output, and `owners` to which part each input
    belongs; without them the graph is the program. Of its `inner` inputs, which the program has
    computed, nothing is assumed. `elsewhere_bytes` are those that the program reads of inputs and
    weights besides.
    """

    times: tuple[int, ...] = ()
    owners: tuple[int, ...] = ()
    inner: frozenset[int] = frozenset()
    elsewhere_bytes: int = 0

    def of_classes(
        self, roots: Sequence[int], children: Callable[[int], Iterable[int]]
    ) -> dict[int, int]:
        """How often each class is computed that some root (one for each output) is made of.

        What several are made of counts as often as that which is computed most.
        """
        found: dict[int, int] = {}
        if not self.times:
            return found
        for times, root in sorted(zip(self.times, roots, strict=True), reverse=True):
            stack = [root]
            while stack:
                each = stack.pop()
                if each not in found:
                    found[each] = times
                    stack.extend(children(each))
        return found


ITSELF = Repetition()
"""A graph stands for itself."""
