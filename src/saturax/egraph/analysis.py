"""E-nodes as readers of an e-graph see them, and the protocol of analyses on its classes."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from saturax.egraph.egraph import EGraph


class ENode(NamedTuple):
    """An operation whose operands are e-classes; `id` is permanent and unique."""

    op: str
    attributes: tuple[Any, ...]
    children: tuple[int, ...]
    id: int


class Analysis(Protocol):
    """Facts about classes: a semilattice, as in egg.

    `join` must be monotone and of finite height, otherwise propagation need not end; and data
    hashable, for what rules make of it is remembered.
    """

    def make(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children_data: tuple[Any, ...],
        type: Any,
        operands: tuple[int, ...],
    ) -> Any:
        """Return what is known of an e-node, from what is known of its operands (class ids)."""

    def join(self, a: Any, b: Any) -> Any:
        """Combine two facts about one value."""

    def modify(self, egraph: "EGraph", class_id: int) -> None:
        """Act on new data of a class, for example by adding the constant that it equals."""


def differs(a: Any, b: Any) -> bool:
    """Whether two pieces of data are unlike; one object is always like itself."""
    return a is not b and bool(a != b)
