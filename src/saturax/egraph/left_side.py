"""A left side in a run: which rules have it, where it has still to be looked for, what was found.

One rule in five has the left side of another one. It is looked for once, and what each of them does
about a match is asked once for all matches of a key.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from saturax.egraph.application import ResolvedRecipe, RuleApplication
from saturax.egraph.egraph import EGraph
from saturax.egraph.limits import RuleStatistics
from saturax.egraph.loops import is_told_by_seed
from saturax.egraph.matcher import (
    Key,
    Match,
    Matcher,
    attribute_test,
    head_tests,
    root_operands,
    seed_chains,
)
from saturax.egraph.newness import newness_of
from saturax.egraph.pattern import left_key
from saturax.egraph.reach import Reach, RootTest
from saturax.egraph.recipe import Rule

Answers = tuple[tuple[RuleApplication, ResolvedRecipe], ...]
"""The rules that have a right side for a match, and these."""


class Left:
    """A left side whatever the e-graph, and the rules that have it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Read the pattern of the first rule; those of others differ in names only."""
        pattern = rules[0].pattern
        self.rules = rules
        self.chains = seed_chains(pattern)
        self.newness = newness_of(pattern, rules[0].uses_facts)
        self.operands = root_operands(pattern)
        self.tests = head_tests(pattern)


# For as many sets of rules: searches have three, and users' rules come to them.
_MOST_SETS = 16
_known_left_sides: dict[tuple[int, ...], tuple[tuple[Rule, ...], list[Left]]] = {}


def left_sides(rules: Sequence[Rule]) -> list[Left]:
    """The left sides of rules, in order of the first rule of each; remembered."""
    key = tuple(map(id, rules))
    known = _known_left_sides.get(key)
    if known is None:
        if len(_known_left_sides) >= _MOST_SETS:
            _known_left_sides.clear()
        # The rules are kept, so that none that is made later has the identity of one of them.
        known = _known_left_sides[key] = (tuple(rules), _left_sides(rules))
    return known[1]


def _left_sides(rules: Iterable[Rule]) -> list[Left]:
    found: dict[Any, list[Rule]] = {}
    for rule in rules:
        key = (left_key(rule.pattern), rule.uses_facts, rule.only_merges)
        found.setdefault(key, []).append(rule)
    return list(map(Left, found.values()))


class _Segment:
    """Roots at which to look: variant `variant`, for matches newer than `since`.

    They were distinct classes when the e-graph had had `unions` unions. A segment whose search has
    begun is never merged with later ones: a match whose e-nodes became new at different times is
    found by exactly one of them.
    """

    __slots__ = ("_roots", "_unions", "since", "variant")

    def __init__(self, variant: int, since: int, roots: list[int], unions: int) -> None:
        self.variant = variant
        self.since = since
        self._roots = roots
        self._unions = unions

    def roots(self, egraph: EGraph) -> list[int]:
        """The classes that the roots are in now, once each."""
        if self._unions == egraph.union_count:
            return self._roots
        return list(dict.fromkeys(map(egraph.find, self._roots)))


class LeftSide:
    """The unfinished work, matches and statistics of rules with one left side.

    Limits and bans concern them together. `heads` are those of all e-nodes so far, by seed.
    """

    def __init__(
        self, left: Left, egraph: EGraph, reach: Reach, heads: Mapping[int, list[int]]
    ) -> None:
        """Plan to look everywhere."""
        self.rules = left.rules
        self.chains, self.newness, self.operands = left.chains, left.newness, left.operands
        self._egraph = egraph
        self._missing = left.tests
        self._only_merges = left.rules[0].only_merges
        self.segments: list[_Segment] = []
        if self.may_match(heads):
            roots = reach.roots(self.chains[0], self.operands, self.root_test)
            if roots:
                self.segments.append(_Segment(0, -1, roots, egraph.union_count))
        # Roots by variant of what changed while the rules could not look; merged, since a search
        # of all variants from the earliest time on finds each match once.
        self.waiting: dict[int, list[int]] = {}
        self.waiting_since = 0
        self._waiting_unions = 0
        self.found: list[tuple[Answers, Match]] = []
        self.seconds = 0.0
        self.times_banned = 0
        self.banned_until = 0

    def may_match(self, new_heads: Mapping[int, list[int]]) -> bool:
        """Whether there is an e-node for each operation of the pattern, looked at on its own.

        Until then there is no match, and the first one will have a new e-node. `new_heads` are
        the heads by seed that were not there when this was last asked.
        """
        if self._missing and new_heads:
            self._missing = tuple(
                [
                    (seed, node)
                    for seed, node in self._missing
                    if seed not in new_heads
                    or (node and not any(map(attribute_test(node, self._egraph), new_heads[seed])))
                ]
            )
        return not self._missing

    @cached_property
    def root_test(self) -> RootTest | None:
        """Whether the attributes of a head fit the root, remembered; None where they do anyway."""
        pattern = self.rules[0].pattern
        return None if is_told_by_seed(pattern) else cache(attribute_test(pattern, self._egraph))

    @cached_property
    def applications(self) -> list[RuleApplication]:
        """Made when they are first needed: many rules concern nothing in a program."""
        return [RuleApplication(rule, self._egraph, self.matcher) for rule in self.rules]

    @cached_property
    def matcher(self) -> Matcher:
        """Finds the matches that a rule has a right side for."""
        rule = self.rules[0]
        return Matcher(
            rule.pattern, self._egraph, self._answers, self._useful, uses_facts=rule.uses_facts
        )

    def _answers(self, key: Key, match: Match) -> Answers | None:
        answers = [(each, each.recipe_of(key, match)) for each in self.applications]
        return tuple((each, recipe) for each, recipe in answers if recipe is not None) or None

    def _useful(self, answers: Answers, match: Match) -> Answers | None:
        """The answers without those whose right side equals the left side already, and without
        those of rules that only merge where the right side is not there.
        """
        if len(answers) == 1:
            return answers if self._is_useful(answers[0][1], match) else None
        return tuple([each for each in answers if self._is_useful(each[1], match)]) or None

    def _is_useful(self, recipe: ResolvedRecipe, match: Match) -> bool:
        egraph = self._egraph
        there = egraph.built(recipe.steps, match, recipe.result)
        return not self._only_merges if there < 0 else there != egraph.find(match[0])

    @property
    def has_work(self) -> bool:
        """Whether there is something to look at."""
        return bool(self.segments or self.waiting)

    def schedule(self, variant: int, since: int, roots: list[int]) -> None:
        """Note roots at which the variant may have matches newer than `since`."""
        if not self.waiting:
            self.waiting_since = since
            self._waiting_unions = self._egraph.union_count
        if variant in self.waiting:
            roots = list(dict.fromkeys(self.waiting[variant] + roots))
        self.waiting[variant] = roots

    def search(self, capacity: int, refuel: Callable[[], int]) -> None:
        """Work off segments until they are finished, `capacity` is reached or fuel is denied."""
        egraph = self._egraph
        for variant, roots in sorted(self.waiting.items()):
            segment = _Segment(variant, self.waiting_since, roots, self._waiting_unions)
            self.segments.append(segment)
        self.waiting = {}
        left: list[_Segment] = []
        for position, segment in enumerate(self.segments):
            roots = segment.roots(egraph)
            match = self.matcher.variant(segment.variant)
            done = match(roots, segment.since, self.found, capacity, refuel)
            if done < len(roots):
                rest = _Segment(segment.variant, segment.since, roots[done:], egraph.union_count)
                left = [rest, *self.segments[position + 1 :]]
                break
        self.segments = left
        for answers, _ in self.found:
            for application, _ in answers:
                application.matches += 1

    def statistics(self) -> dict[str, RuleStatistics]:
        """What each rule did; of the time, each gets the same share."""
        share = self.seconds / len(self.rules)
        if "applications" not in self.__dict__:
            return {rule.name: RuleStatistics(0, 0, 0, share, 0) for rule in self.rules}
        return {
            each.rule.name: RuleStatistics(
                each.matches, each.applied, each.unions, share, self.times_banned
            )
            for each in self.applications
        }
