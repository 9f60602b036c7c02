"""From e-nodes that changed to the classes at which a match may have become possible."""

from saturax.egraph.egraph import EGraph


class Reach:
    """The classes of some e-nodes, by the kinds and groups of these (their seeds), and those above.

    With hundreds of rules, most of what changed concerns few of them: a rule looks only above
    changed e-nodes that its pattern has there, along e-nodes that its pattern has there.
    """

    def __init__(self, egraph: EGraph, nodes: list[int]) -> None:
        """Take the e-nodes that changed."""
        self._egraph = egraph
        self._above: dict[tuple[int, ...], dict[int, list[int]]] = {}
        keys, find = egraph.keys, egraph.find
        by_head: dict[int, dict[int, None]] = {}
        for node in nodes:
            by_head.setdefault(keys[node][0], {})[find(node)] = None
        self.by_seed = _by_seed(egraph, by_head)

    def roots(self, chain: tuple[int, ...]) -> list[int]:
        """The classes at the upper end of a chain of seeds that begins at one of the e-nodes."""
        lower = chain[:-1]
        if not lower:
            return self.by_seed.get(chain[0], [])
        found = self._above.get(lower)
        if found is None:
            found = self._above[lower] = self._users(self.roots(lower))
        return found.get(chain[-1], [])

    def _users(self, classes: list[int]) -> dict[int, list[int]]:
        """The classes of the e-nodes that use some classes, by the seeds of those e-nodes."""
        egraph = self._egraph
        find, keys = egraph.find, egraph.keys
        by_head: dict[int, dict[int, None]] = {}
        for id in classes:
            for node in egraph.parents(id):
                by_head.setdefault(keys[node][0], {})[find(node)] = None
        return _by_seed(egraph, by_head)


def _by_seed(egraph: EGraph, by_head: dict[int, dict[int, None]]) -> dict[int, list[int]]:
    """Sort classes by the kinds and groups of heads, given those by heads."""
    heads = egraph.heads
    found: dict[int, dict[int, None]] = {}
    for head, classes in by_head.items():
        found.setdefault(heads.kind[head], {}).update(classes)
        found.setdefault(heads.group[head], {}).update(classes)
    return {seed: list(owners) for seed, owners in found.items()}
