"""The e-graph: hash-consed e-nodes in a union-find, congruence by deferred rebuilding."""

from collections.abc import Callable, Sequence
from typing import Any

from saturax.egraph.analysis import Analysis
from saturax.egraph.errors import TypeClashError
from saturax.egraph.heads import Heads
from saturax.egraph.injectivity import INJECTIVITY, equal_operands
from saturax.egraph.proof import CONGRUENCE, SWAPPED_CONGRUENCE, Justification
from saturax.egraph.store import ANALYSIS, INPUT, Key, Store

BuildStep = tuple[int, bool, tuple[int, ...]]

# Shared stand-ins for the storage of a class that was merged away; never written to.
_NO_GROUPS: dict[int, list[int]] = {}
_NO_PARENTS: list[int] = []


class EGraph(Store):
    """A set of equivalent programs.

    `is_commutative(op, attributes)` says where the first two children may be swapped; such
    e-nodes keep them sorted. `is_injective(op, type)` says of which operations equal results, of
    this type, mean equal operands, where the operands have the same types. `outdone_by(op,
    attributes)` names the operations that are pointless in a class with such an e-node: there,
    only e-nodes of the input show, and the first one of operations that outdo themselves. Unless
    `shows_circular`, the same goes for e-nodes that compute a value from itself, as x · 1: no
    program has them, and what rules find with them is mostly found without. `analysis` may be None.

    >>> g = EGraph(None, lambda op, attributes: attributes == ("add",))
    >>> x, y = g.add("x", (), (), "i32"), g.add("y", (), (), "i32")
    >>> a = g.add("binary", ("add",), (x, y), "i32")
    >>> a == g.add("binary", ("add",), (y, x), "i32")
    True
    """

    def __init__(
        self,
        analysis: Analysis | None,
        is_commutative: Callable[[str, tuple[Any, ...]], bool],
        is_injective: Callable[[str, Any], bool] = lambda _op, _type: False,
        outdone_by: Callable[[str, tuple[Any, ...]], frozenset[str]] = lambda *_: frozenset(),
        *,
        shows_circular: bool = True,
    ) -> None:
        """Start empty."""
        super().__init__(analysis, Heads(is_commutative, is_injective, outdone_by))
        self._shows_circular = shows_circular
        self._pending: list[int] = []
        self._stale_data: list[int] = []
        self._unmodified: list[int] = []
        self._merged: dict[int, None] = {}
        self._touched: dict[int, None] = {}
        self._changed: dict[int, None] = {}
        self._modifies = self._interned is not None and self._interned.modify is not None
        self._current_origin = INPUT

    def add(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children: tuple[int, ...],
        type: Any,
        origin: str | None = None,
    ) -> int:
        """Add an e-node, or find it, and return its class id; `origin` names who wants it."""
        return self.find(self.add_node(op, attributes, children, type, origin))

    def add_node(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children: tuple[int, ...],
        type: Any,
        origin: str | None = None,
    ) -> int:
        """Like `add`, but return the permanent id of the e-node itself."""
        head = self.heads.index(op, attributes, len(children), type)
        key = self._canonical((head, *children))
        node = self._hashcons.get(key)
        return self._new_node(key, origin or self._current_origin) if node is None else node

    def instantiate(self, steps: Sequence[BuildStep], values: list[int], origin: str) -> None:
        """Append to `values` the e-node of each step `(head, commutative, indices in values)`."""
        parent, hashcons = self.parent, self._hashcons
        for head, commutative, references in steps:
            count = len(references)
            if count == 2:
                first, second = references
                a, b = values[first], values[second]
                while parent[a] != a:
                    a = parent[a]
                while parent[b] != b:
                    b = parent[b]
                key: Key = (head, b, a) if commutative and b < a else (head, a, b)
            elif count == 1:
                a = values[references[0]]
                while parent[a] != a:
                    a = parent[a]
                key = (head, a)
            else:
                key = self._canonical((head, *[values[r] for r in references]))
            node = hashcons.get(key)
            values.append(self._new_node(key, origin) if node is None else node)

    def built(self, steps: Sequence[BuildStep], match: Sequence[int], result: int) -> int:
        """Return the class of what `instantiate` would have at `result`; -1 if it is not there.

        In a rebuilt e-graph, where those of the `values` that steps refer to are classes.
        """
        hashcons, find = self._hashcons, self.find
        values = [*match]
        for head, commutative, references in steps:
            count = len(references)
            if count == 2:
                first, second = references
                a, b = values[first], values[second]
                key: Key = (head, b, a) if commutative and b < a else (head, a, b)
            elif count == 1:
                key = (head, values[references[0]])
            else:
                key = self._canonical((head, *[values[r] for r in references]))
            node = hashcons.get(key)
            if node is None:
                return -1
            if result == len(values):
                return find(node)
            values.append(find(node))
        return find(values[result])

    def _new_node(self, key: Key, origin: str) -> int:
        node = len(self.keys)
        head = key[0]
        group = self.heads.group[head]
        clock = self.clock
        self.keys.append(key)
        self.original.append(key)
        self.created.append(clock)
        self.keyed.append(clock)
        self.informed.append(clock)
        self.placed.append(clock)
        self.stamp.append(clock)
        self.type_id.append(self.heads.type_id[head])
        self.parent.append(node)
        self.proof.edges.append(None)
        self._origin.append(origin)
        self.is_dead.append(0)
        kind = self.heads.kind[head]
        self.groups.append({group: [node]} if kind == group else {group: [node], kind: [node]})
        self.uses.append([])
        self._size.append(1)
        self._hashcons[key] = node
        self._changed[node] = None
        self.node_count += 1
        self.class_count += 1
        children = key[1:]
        for child in children if len(children) <= 1 else dict.fromkeys(children):
            self.uses[child].append(node)
        if self._interned is None:
            self.data_id.append(0)
            return node
        self.data_id.append(self._data_from(head, children))
        if self._modifies:
            self._unmodified.append(node)
        return node

    def union(self, a: int, b: int, reason: str, justification: Justification | None = None) -> int:
        """Record that two classes (or e-nodes) are equal; congruence waits for `rebuild`.

        Returns the canonical id. Raises `TypeClashError` where their types differ.
        """
        keep, gone = self.find(a), self.find(b)
        if keep == gone:
            return keep
        if self.type_id[keep] != self.type_id[gone]:
            raise TypeClashError(reason, self.type_of(keep), self.type_of(gone))
        size, uses = self._size, self.uses
        self.proof.link(a, b, reason, justification, size[keep] > size[gone])
        keep_weight = size[keep] + len(uses[keep])
        gone_weight = size[gone] + len(uses[gone])
        if keep_weight < gone_weight or (keep_weight == gone_weight and gone < keep):
            keep, gone = gone, keep
        self.parent[gone] = keep
        size[keep] += size[gone]
        self.class_count -= 1
        self.union_count += 1
        self._move_nodes(gone, keep)
        self._merged[keep] = None
        self._pending.extend(uses[gone])
        uses[gone] = _NO_PARENTS
        if self._interned is not None:
            self._join_data(keep, gone)
        return keep

    def _move_nodes(self, gone: int, keep: int) -> None:
        placed, stamp, clock, changed = self.placed, self.stamp, self.clock, self._changed
        target = self.groups[keep]
        for group, nodes in self.groups[gone].items():
            if group >= 0:
                for node in nodes:
                    placed[node] = stamp[node] = clock
                    changed[node] = None
            present = target.get(group)
            if present is None:
                target[group] = nodes
            else:
                present.extend(nodes)
        self.groups[gone] = _NO_GROUPS
        self._touched[keep] = None

    @property
    def is_rebuilt(self) -> bool:
        """Whether congruence and analysis are up to date."""
        return not (self._has_work or self._touched)

    @property
    def _has_work(self) -> bool:
        return bool(self._pending or self._stale_data or self._unmodified or self._merged)

    def rebuild(self, should_stop: Callable[[], bool] | None = None) -> bool:
        """Restore congruence and propagate the analysis, to a fixpoint.

        `should_stop` is asked every few hundred e-nodes. After an early stop (returns False) the
        e-graph is sound and readable but may lack equalities; a later call goes on.
        """
        while self._has_work:
            if not (
                self._repair_keys(should_stop)
                and self._equate_operands(should_stop)
                and self._propagate_data(should_stop)
                and self._modify(should_stop)
            ):
                return False
        return self._tidy(should_stop)

    def _repair_keys(self, should_stop: Callable[[], bool] | None) -> bool:
        keys, hashcons, dead, pending = self.keys, self._hashcons, self.is_dead, self._pending
        steps = 0
        while pending:
            steps += 1
            if not steps & 255 and should_stop is not None and should_stop():
                return False
            node = pending.pop()
            if dead[node]:
                continue
            old = keys[node]
            key = self._canonical(old)
            if key == old:
                continue
            del hashcons[old]
            twin = hashcons.get(key)
            if twin is None:
                self._replace_key(node, old, key)
            else:
                if self._origin[node] == INPUT != self._origin[twin]:
                    # The input's e-nodes stay: they show where others are outdone.
                    self._replace_key(node, old, key)
                    self._bury(twin)
                else:
                    self._bury(node)
                self.union(node, twin, self._congruence(node, twin))
        return True

    def _equate_operands(self, should_stop: Callable[[], bool] | None) -> bool:
        merged = self._merged
        while merged:
            if should_stop is not None and should_stop():
                return False
            owner = self.find(merged.popitem()[0])
            for a, b, justification in list(equal_operands(self, owner)):
                self.union(a, b, INJECTIVITY, justification)
        return True

    def _congruence(self, node: int, twin: int) -> str:
        """Name the step, noting which children pair up: later on both ways may be equal."""
        a, b = self.original[node], self.original[twin]
        is_straight = all(self.find(x) == self.find(y) for x, y in zip(a[1:], b[1:], strict=True))
        return CONGRUENCE if is_straight else SWAPPED_CONGRUENCE

    def _replace_key(self, node: int, old: Key, key: Key) -> None:
        self._hashcons[key] = node
        self.keys[node] = key
        for position in range(1, len(key)):
            child = key[position]
            # A child that the old key named has this node among its uses already.
            if child not in old[1:] and key.index(child, 1) == position:
                self.uses[child].append(node)
        self.keyed[node] = self.clock
        self._renew(node)
        if self._interned is not None:
            # An operand's data may be new to it, or operands have become equal, which tells more.
            self._join_own_data(node)

    def _bury(self, node: int) -> None:
        self.is_dead[node] = 1
        self.node_count -= 1
        self._touched[self.find(node)] = None

    def _renew(self, node: int) -> None:
        """Let matchers see that the operands of an e-node changed."""
        self.informed[node] = self.stamp[node] = self.clock
        self._touched[self.find(node)] = None
        self._changed[node] = None

    def _tidy(self, should_stop: Callable[[], bool] | None) -> bool:
        """Drop dead e-nodes from the touched classes; order each group by stamp for matchers."""
        keys, dead, stamp, touched = self.keys, self.is_dead, self.stamp, self._touched
        hides_circular = not self._shows_circular
        while touched:
            if not len(touched) & 255 and should_stop is not None and should_stop():
                return False
            owner = self.find(touched.popitem()[0])
            groups = self.groups[owner]
            outdone = self._outdone(groups)
            for group in list(groups):
                nodes = [node for node in groups[group] if not dead[node]]
                if hides_circular:
                    nodes = [
                        node
                        for node in nodes
                        if owner not in keys[node] or not self._is_circular(node, owner)
                    ]
                if outdone:
                    nodes = self._without_pointless(nodes, outdone)
                nodes.sort(key=stamp.__getitem__)
                if nodes:
                    groups[group] = nodes
                else:
                    del groups[group]
        return True

    def _is_circular(self, node: int, owner: int) -> bool:
        """Whether an e-node, not of the input, computes a value from itself."""
        return owner in self.keys[node][1:] and self._origin[node] != INPUT

    def _outdone(self, groups: dict[int, list[int]]) -> frozenset[str]:
        """The operations that are pointless in a class of these e-nodes."""
        outdoing = self.heads.outdoing & groups.keys()
        nodes = (node for group in sorted(outdoing) for node in groups[group])
        return frozenset().union(*[self.heads.outdone[self.keys[node][0]] for node in nodes])

    def _without_pointless(self, nodes: list[int], outdone: frozenset[str]) -> list[int]:
        """The e-nodes of one group but for those that are outdone."""
        if not nodes or self.heads.op[self.keys[nodes[0]][0]] not in outdone:
            return nodes
        head = self.keys[first := min(nodes)][0]
        kept = first if self.heads.op[head] in self.heads.outdone[head] else None
        return [node for node in nodes if node == kept or self._origin[node] == INPUT]

    def _make_data(self, node: int) -> int:
        head, *children = self.keys[node]
        return self._data_from(head, tuple(map(self.find, children)))

    def _data_from(self, head: int, children: tuple[int, ...]) -> int:
        """The data of an e-node from those of its operands (canonical ids)."""
        assert self._interned is not None
        data_id = self.data_id
        data = tuple([data_id[child] for child in children])
        return self._interned.make(self.heads, head, data, children)

    def _join_data(self, keep: int, gone: int) -> None:
        assert self._interned is not None
        left, right = self.data_id[keep], self.data_id[gone]
        joined = self.data_id[keep] = self._interned.join(left, right)
        # Uses of the class that went will see `joined` when they get their new keys.
        if joined != left:
            self._stale_data.append(keep)
        if self._modifies:
            self._unmodified.append(keep)

    def _propagate_data(self, should_stop: Callable[[], bool] | None) -> bool:
        queue = self._stale_data
        while queue:
            if should_stop is not None and should_stop():
                return False
            changed = self.find(queue.pop())
            for node in self.uses[changed]:
                if self.is_dead[node]:
                    continue
                self._renew(node)
                self._join_own_data(node)
        return True

    def _join_own_data(self, node: int) -> None:
        """Let the class of an e-node know what its operands say of it now."""
        assert self._interned is not None
        owner = self.find(node)
        old = self.data_id[owner]
        new = self._interned.join(old, self._make_data(node))
        if new != old:
            self.data_id[owner] = new
            self._stale_data.append(owner)
            if self._modifies:
                self._unmodified.append(owner)

    def _modify(self, should_stop: Callable[[], bool] | None) -> bool:
        queue = self._unmodified
        self._current_origin = ANALYSIS
        try:
            while queue:
                if should_stop is not None and should_stop():
                    return False
                assert self._interned is not None
                assert self._interned.modify is not None
                self._interned.modify(self, self.find(queue.pop()))
        finally:
            self._current_origin = INPUT
        return True

    def take_changed(self) -> list[int]:
        """Return the e-nodes that are new to matchers in some way since the last call."""
        changed = [node for node in self._changed if not self.is_dead[node]]
        self._changed.clear()
        return changed
