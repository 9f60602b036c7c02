"""From e-nodes that changed to the classes at which a match may have become possible."""

from collections.abc import Iterable, KeysView

from saturax.egraph.egraph import EGraph

Operands = tuple[tuple[int, int], ...]
"""What the root of a pattern needs: operand positions, from 1, and the seeds in their classes."""


class Reach:
    """The classes of some e-nodes, by the kinds and groups of these (their seeds), and those above.

    With hundreds of rules, most of what changed concerns few of them: a rule looks only above
    changed e-nodes that its pattern has there, along e-nodes that its pattern has there, and where
    the root's operands can be what its pattern has there. That last test alone spares two of three
    roots: it is made once for all rules that ask the same of a root.
    """

    def __init__(self, egraph: EGraph, nodes: Iterable[int]) -> None:
        """Take the e-nodes that changed."""
        self._egraph = egraph
        self._levels: dict[tuple[int, ...], _Level] = {(): _Level(egraph, nodes)}

    @property
    def seeds(self) -> KeysView[int]:
        """The kinds and groups of the e-nodes."""
        return self._levels[()].heads.keys()

    def roots(self, chain: tuple[int, ...], operands: Operands = ()) -> list[int]:
        """The classes at the upper end of a chain of seeds that begins at one of the e-nodes.

        With `operands`, only those with an e-node of the last seed for each of these.
        """
        lower, seed = chain[:-1], chain[-1]
        level = self._levels.get(lower)
        if level is None:
            parents = self._egraph.parents
            above = [node for id in self.roots(lower) for node in parents(id)]
            level = self._levels[lower] = _Level(self._egraph, above)
        return level.owners(seed, operands) if seed in level.heads else []


class _Level:
    """E-nodes by their seeds, and the classes that hold them."""

    def __init__(self, egraph: EGraph, nodes: Iterable[int]) -> None:
        self._egraph = egraph
        self._by_head: dict[int, list[int]] = {}
        keys = egraph.keys
        for node in nodes:
            self._by_head.setdefault(keys[node][0], []).append(node)
        self.heads: dict[int, list[int]] = {}
        kind, group = egraph.heads.kind, egraph.heads.group
        for head in self._by_head:
            for seed in {kind[head], group[head]}:
                self.heads.setdefault(seed, []).append(head)
        self._owners: dict[tuple[int, Operands], list[int]] = {}
        self._operands: dict[tuple[int, int], dict[int, list[int]]] = {}
        self._holders: dict[tuple[int, int, int], set[int]] = {}

    def owners(self, seed: int, operands: Operands) -> list[int]:
        """The classes of the e-nodes of a seed, for each of `operands` one that may have it."""
        found = self._owners.get((seed, operands))
        if found is None:
            if operands:
                holders = [self._holding(seed, *operand) for operand in operands]
                kept = holders[0].intersection(*holders[1:])
                found = [owner for owner in self.owners(seed, ()) if owner in kept] if kept else []
            else:
                find, by_head = self._egraph.find, self._by_head
                nodes = (node for head in self.heads[seed] for node in by_head[head])
                found = list(dict.fromkeys(map(find, nodes)))
            self._owners[seed, operands] = found
        return found

    def _holding(self, seed: int, position: int, operand: int) -> set[int]:
        """The classes of e-nodes of `seed` whose operand may be an e-node of seed `operand`."""
        found = self._holders.get((seed, position, operand))
        if found is None:
            groups = self._egraph.groups
            found = set[int]()
            for child, owners in self._by_operand(seed, position).items():
                if operand in groups[child]:
                    found.update(owners)
            self._holders[seed, position, operand] = found
        return found

    def _by_operand(self, seed: int, position: int) -> dict[int, list[int]]:
        """The classes of the e-nodes of a seed, by the class of an operand."""
        found = self._operands.get((seed, position))
        if found is None:
            keys, find = self._egraph.keys, self._egraph.find
            found = self._operands[seed, position] = {}
            for head in self.heads[seed]:
                is_either = position <= 2 and self._egraph.heads.commutative[head]
                for place in (1, 2) if is_either else (position,):
                    for node in self._by_head[head]:
                        found.setdefault(keys[node][place], []).append(find(node))
        return found
