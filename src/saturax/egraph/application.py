"""A rule's right side: which recipe each match gets, and applying it."""

from collections.abc import Callable
from typing import Any

from saturax.egraph.egraph import BuildStep, EGraph
from saturax.egraph.errors import RuleApplicationError, RuleTypeError
from saturax.egraph.matcher import Key, Match, Matcher, binding_places
from saturax.egraph.pattern import PatternNode, PatternVar
from saturax.egraph.recipe import Recipe, Rule, Told
from saturax.errors import RuleError


class ResolvedRecipe:
    """A recipe whose names are positions in `[*match, *e-nodes built]`."""

    __slots__ = ("result", "steps")

    def __init__(self, steps: tuple[BuildStep, ...], result: int) -> None:
        """Take steps and the position of the right side."""
        self.steps = steps
        self.result = result


class RuleInstance:
    """The justification of a union by a rule: its match and what was built."""

    __slots__ = ("matcher", "recipe", "values")

    def __init__(self, matcher: Matcher, recipe: ResolvedRecipe, values: tuple[int, ...]) -> None:
        """Take `values` as `EGraph.instantiate` left them."""
        self.matcher = matcher
        self.recipe = recipe
        self.values = values

    def premises(self, egraph: EGraph) -> list[tuple[int, int]]:
        """Return pairs of ids that the match and the instantiation took for equal."""
        values = self.values
        pairs: list[tuple[int, int]] = []
        variables = self.matcher.binding(values[: self._match_size()])
        nodes = iter(values)
        self._match_premises(egraph, self.matcher.pattern, nodes.__next__, variables, pairs)
        for (_, _, references), built in zip(
            self.recipe.steps, values[self._match_size() :], strict=True
        ):
            pairs += _paired(egraph, built, [values[r] for r in references])
        return [(a, b) for a, b in pairs if a != b]

    def _match_size(self) -> int:
        return len(self.matcher.levels) + len(self.matcher.variables)

    def _match_premises(
        self,
        egraph: EGraph,
        pattern: PatternNode,
        next_node: Callable[[], int],
        variables: dict[str, int],
        pairs: list[tuple[int, int]],
    ) -> int:
        node = next_node()
        operands = [
            variables[operand.name]
            if isinstance(operand, PatternVar)
            else self._match_premises(egraph, operand, next_node, variables, pairs)
            for operand in pattern.operands
        ]
        pairs += _paired(egraph, node, operands)
        return node


def _paired(egraph: EGraph, node: int, operands: list[int]) -> list[tuple[int, int]]:
    """Pair the children an e-node was made with and the operands it was used with."""
    head, *children = egraph.original[node]
    find = egraph.find
    if egraph.heads.commutative[head] and find(children[0]) != find(operands[0]):
        operands = [operands[1], operands[0], *operands[2:]]
    return list(zip(children, operands, strict=True))


class RuleApplication:
    """What one rule does about matches of its left side, found by a matcher of an equal one."""

    def __init__(self, rule: Rule, egraph: EGraph, matcher: Matcher) -> None:
        """Start without memo."""
        self.rule = rule
        self._name = rule.name
        self.egraph = egraph
        self.matcher = matcher
        self.matches = 0
        self.applied = 0
        self.unions = 0
        self._by_outline: dict[Any, ResolvedRecipe | None] = {}
        self._nodes = len(matcher.levels)
        self._variables = rule.pattern.variables
        self._attributes = binding_places(rule.pattern)

    def apply(self, recipe: ResolvedRecipe, match: Match) -> None:
        """Instantiate the right side for one match and union it with the left side."""
        self.applied += 1
        egraph = self.egraph
        values = [*match]
        egraph.instantiate(recipe.steps, values, self._name)
        left, right = match[0], values[recipe.result]
        if egraph.find(left) != egraph.find(right):
            egraph.union(
                left, right, self.rule.name, RuleInstance(self.matcher, recipe, tuple(values))
            )
            self.unions += 1

    def recipe_of(self, key: Key, match: Match) -> ResolvedRecipe | None:
        """Find the recipe for all matches of this key.

        Keys with the same heads share it where the rule reads no more than the data's outlines.
        """
        if not self.rule.uses_facts:
            return self._make_recipe(key, match, None)
        egraph, kinds = self.egraph, key[self._nodes :]
        outline = (*key[: self._nodes], *map(egraph.outline_named, kinds))
        if outline in self._by_outline:
            return self._by_outline[outline]
        told = Told(zip(self._variables, map(egraph.data_named, kinds), strict=True))
        recipe = self._make_recipe(key, match, told)
        if told.is_outline_enough:
            self._by_outline[outline] = recipe
        return recipe

    def _make_recipe(self, key: Key, match: Match, told: Told | None) -> ResolvedRecipe | None:
        """Call the rule; raises RuleApplicationError or RuleTypeError, which name it."""
        egraph, rule = self.egraph, self.rule
        heads = egraph.heads.attributes
        attributes = {name: heads[key[node]][place] for name, node, place in self._attributes}
        binding = dict(zip(self._variables, match[self._nodes :], strict=True))
        types = {name: egraph.type_of(id) for name, id in binding.items()}
        root_type = egraph.type_of(match[0])
        try:
            if told is None:
                recipe = rule.recipe(attributes, types, root_type)
            else:
                recipe = rule.recipe(attributes, types, root_type, told)
        except RuleError as error:
            message = str(error).removeprefix(f"rule {rule.name}: ")
            raise RuleApplicationError(rule.name, message) from error
        except Exception as error:
            raise RuleApplicationError(
                rule.name,
                f"its right side raised {type(error).__name__}: {error} "
                f"(attributes {attributes}, operand types {types}). Return None where the rule "
                "does not apply.",
            ) from error
        return None if recipe is None else self._resolve(recipe, types, root_type)

    def _resolve(self, recipe: Recipe, types: dict[str, Any], root_type: Any) -> ResolvedRecipe:
        egraph, nodes = self.egraph, self._nodes
        positions: dict[str | int, int] = {
            name: nodes + index for index, name in enumerate(self._variables)
        }
        steps: list[BuildStep] = []
        for index, step in enumerate(recipe.steps):
            head = egraph.heads.index(step.op, step.attributes, len(step.operands), step.type)
            references = tuple(self._position(positions, operand) for operand in step.operands)
            steps.append((head, egraph.heads.commutative[head], references))
            positions[index] = nodes + len(self._variables) + index
        result = self._position(positions, recipe.result)
        actual = (
            types[recipe.result]
            if isinstance(recipe.result, str)
            else recipe.steps[recipe.result].type
        )
        if actual != root_type:
            raise RuleTypeError(self.rule.name, root_type, actual)
        return ResolvedRecipe(tuple(steps), result)

    def _position(self, positions: dict[str | int, int], operand: str | int) -> int:
        if operand not in positions:
            raise RuleApplicationError(
                self.rule.name,
                f"its recipe refers to {operand!r}, but only {sorted(map(str, positions))} are "
                "known there. Refer to variables of the pattern or to earlier steps.",
            )
        return positions[operand]
