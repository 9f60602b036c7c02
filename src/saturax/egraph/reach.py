"""From e-nodes that changed to the classes at which a match may have become possible."""

from collections.abc import Callable, Iterable, KeysView, Sequence

from saturax.egraph.egraph import EGraph

Heads = tuple[int, ...]
RootTest = Callable[[int], bool]
Operands = tuple[tuple[int, int], ...]
"""What the root of a pattern needs: operand positions, from 1, and the seeds in their classes."""


class Reach:
    """The classes of some e-nodes, by the kinds and groups of these (their seeds), and those above.

    With hundreds of rules, most of what changed concerns few of them: a rule looks only above
    changed e-nodes that its pattern has there, along e-nodes that its pattern has there, and where
    the root's attributes fit and its operands can be what its pattern has there. That last test
    alone spares two of three roots: it is made once for all rules that ask the same of a root.
    """

    def __init__(self, egraph: EGraph, nodes: Iterable[int]) -> None:
        """Take the e-nodes that changed."""
        self._egraph = egraph
        self._levels: dict[tuple[int, ...], _Level] = {(): _Level(egraph, nodes)}

    @property
    def seeds(self) -> KeysView[int]:
        """The kinds and groups of the e-nodes."""
        return self._levels[()].heads.keys()

    def roots(
        self,
        chain: tuple[int, ...],
        operands: Operands = (),
        fits: RootTest | None = None,
    ) -> list[int]:
        """The classes at the upper end of a chain of seeds that begins at one of the e-nodes.

        Only those with an e-node of the last seed whose head `fits`, and with an e-node of the
        last seed for each of `operands`.
        """
        lower, seed = chain[:-1], chain[-1]
        level = self._levels.get(lower)
        if level is None:
            uses, is_dead = self._egraph.uses, self._egraph.is_dead
            above = [node for id in self.roots(lower) for node in uses[id] if not is_dead[node]]
            level = self._levels[lower] = _Level(self._egraph, above)
        heads = level.heads.get(seed, ())
        if fits is not None:
            heads = tuple(filter(fits, heads))
        return level.owners(seed, heads, operands)


def roots_of_all(
    reaches: Sequence[Reach],
    chain: tuple[int, ...],
    operands: Operands,
    fits: RootTest | None,
) -> list[int]:
    """The roots that any of the reaches has, once each."""
    found = [roots for reach in reaches if (roots := reach.roots(chain, operands, fits))]
    if len(found) <= 1:
        return found[0] if found else []
    return list(dict.fromkeys([root for roots in found for root in roots]))


class _Level:
    """E-nodes by their heads, and the classes that hold them."""

    def __init__(self, egraph: EGraph, nodes: Iterable[int]) -> None:
        self._egraph = egraph
        self._by_head: dict[int, list[int]] = {}
        keys, by_head = egraph.keys, self._by_head
        for node in nodes:
            head = keys[node][0]
            if head in by_head:
                by_head[head].append(node)
            else:
                by_head[head] = [node]
        by_seed: dict[int, list[int]] = {}
        kind, group = egraph.heads.kind, egraph.heads.group
        for head in self._by_head:
            for seed in {kind[head], group[head]}:
                by_seed.setdefault(seed, []).append(head)
        self.heads = {seed: tuple(heads) for seed, heads in by_seed.items()}
        self._owners: dict[tuple[Heads, Operands], list[int]] = {((), ()): []}
        self._owners_by_operand: dict[tuple[int, int], dict[int, list[int]]] = {}
        self._operands: dict[tuple[int, int], dict[int, list[int]]] = {}
        self._holders: dict[tuple[int, int, int], set[int]] = {}

    def owners(self, seed: int, heads: Heads, operands: Operands) -> list[int]:
        """The classes of the e-nodes of some heads of a seed, for each of `operands` with an e-node
        of the seed that may have it.
        """
        found = self._owners.get((heads, operands))
        if found is None:
            if operands:
                found = self.owners(seed, heads, ())
                for position, operand in operands:
                    if found:
                        holders = self._holders_of(seed, position, operand)
                        found = [owner for owner in found if owner in holders]
            else:
                nodes = [node for head in heads for node in self._by_head[head]]
                found = list(dict.fromkeys(map(self._egraph.find, nodes)))
            self._owners[heads, operands] = found
        return found

    def _holders_of(self, seed: int, position: int, operand: int) -> set[int]:
        """The classes of e-nodes of `seed` whose operand may be an e-node of the seed `operand`."""
        found = self._holders.get((seed, position, operand))
        if found is None:
            owners = self._by_operand(seed, position)
            children = self._operands_by_seed(seed, position).get(operand, ())
            found = self._holders[seed, position, operand] = set()
            found.update(*[owners[child] for child in children])
        return found

    def _operands_by_seed(self, seed: int, position: int) -> dict[int, list[int]]:
        """The classes of an operand of e-nodes of `seed`, by the seeds of what is in these."""
        found = self._operands.get((seed, position))
        if found is None:
            groups = self._egraph.groups
            found = self._operands[seed, position] = {}
            for child in self._by_operand(seed, position):
                for below in groups[child]:
                    if below in found:
                        found[below].append(child)
                    else:
                        found[below] = [child]
        return found

    def _by_operand(self, seed: int, position: int) -> dict[int, list[int]]:
        """The classes of the e-nodes of a seed, by the class of an operand."""
        found = self._owners_by_operand.get((seed, position))
        if found is not None:
            return found
        keys, parent, find = self._egraph.keys, self._egraph.parent, self._egraph.find
        found = self._owners_by_operand[seed, position] = {}
        for head in self.heads.get(seed, ()):
            is_either = position <= 2 and self._egraph.heads.commutative[head]
            for place in (1, 2) if is_either else (position,):
                for node in self._by_head[head]:
                    child, owner = keys[node][place], parent[node]
                    if parent[owner] != owner:
                        owner = find(owner)
                    if child in found:
                        found[child].append(owner)
                    else:
                        found[child] = [owner]
        return found
