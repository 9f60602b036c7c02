"""E-nodes as readers of an e-graph see them, and the protocol of analyses on its classes."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from saturax.egraph.egraph import EGraph
    from saturax.egraph.heads import Heads


class ENode(NamedTuple):
    """An operation whose operands are e-classes; `id` is permanent and unique."""

    op: str
    attributes: tuple[Any, ...]
    children: tuple[int, ...]
    id: int


class Analysis(Protocol):
    """Facts about classes: a semilattice, as in egg.

    `join` must be monotone and of finite height, otherwise propagation need not end. Data must be
    hashable and equal data interchangeable: what follows from them is remembered.
    """

    def make(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children_data: tuple[Any, ...],
        type: Any,
        operands: Sequence[int],
    ) -> Any:
        """Return what is known of an e-node, from what is known of its operands.

        `operands` are numbers that are equal where two operands are one class.
        """

    def join(self, a: Any, b: Any) -> Any:
        """Combine two facts about one value."""


@runtime_checkable
class ModifyingAnalysis(Analysis, Protocol):
    """An analysis that acts on the e-graph, too."""

    def modify(self, egraph: "EGraph", class_id: int) -> None:
        """Act on new data of a class, for example by adding the constant that it equals."""


@runtime_checkable
class OutliningAnalysis(Analysis, Protocol):
    """An analysis of whose data most rules read a part only."""

    def outline(self, data: Any) -> Hashable:
        """Return that part: what a rule makes of data is remembered by it, if it reads no more."""


class InternedData:
    """The data of an analysis as small integers, and what `make` and `join` gave for them."""

    def __init__(self, analysis: Analysis) -> None:
        """Start empty."""
        self._analysis = analysis
        self.modify = analysis.modify if isinstance(analysis, ModifyingAnalysis) else None
        self._outline = analysis.outline if isinstance(analysis, OutliningAnalysis) else None
        self.values: list[Any] = []
        self._ids: dict[Any, int] = {}
        # The outlines of the data as small integers, by the number of the data.
        self.outlines: list[int] = []
        self._outline_ids: dict[Hashable, int] = {}
        self._made: dict[Any, int] = {}
        self._joined: dict[tuple[int, int], int] = {}

    def make(
        self, heads: "Heads", head: int, data: tuple[int, ...], children: tuple[int, ...]
    ) -> int:
        """Return the data of an e-node from those of its operands (classes)."""
        count = len(children)
        if count == 2:
            operands: tuple[int, ...] = (0, 0) if children[0] == children[1] else (0, 1)
        else:
            operands = (0,) if count == 1 else tuple(map(children.index, children))
        key = (head, data, operands)
        found = self._made.get(key)
        if found is None:
            values = tuple([self.values[child] for child in data])
            made = self._analysis.make(
                heads.op[head], heads.attributes[head], values, heads.type_of(head), operands
            )
            found = self._made[key] = self._intern(made)
        return found

    def join(self, a: int, b: int) -> int:
        """Combine two data of one class."""
        if a == b:
            return a
        found = self._joined.get((a, b))
        if found is None:
            joined = self._analysis.join(self.values[a], self.values[b])
            found = self._joined[a, b] = self._intern(joined)
        return found

    def _intern(self, data: Any) -> int:
        found = self._ids.setdefault(data, len(self.values))
        if found == len(self.values):
            self.values.append(data)
            outline = data if self._outline is None else self._outline(data)
            ids = self._outline_ids
            self.outlines.append(ids.setdefault(outline, len(ids)))
        return found
