"""Right sides of rules as data, and what the engine expects of a rule.

A rule's `recipe` runs once per distinct heads of a left side and operand types; the recipe it
returns is then instantiated for every match by `EGraph.instantiate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from saturax.egraph.pattern import PatternNode


@dataclass(frozen=True, slots=True)
class RecipeStep:
    """One operation to build; an operand is a variable's name or the index of an earlier step."""

    op: str
    attributes: tuple[Any, ...]
    operands: tuple[str | int, ...]
    type: Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """Operations to build, and which value (variable name or step index) is the right side."""

    steps: tuple[RecipeStep, ...]
    result: str | int


class Told(dict[str, Any]):
    """Analysis data of operand variables, by name.

    A rule whose answer depends on no more than their outlines says so: for other data with the same
    outlines it is not asked again.
    """

    is_outline_enough = False


class Rule(Protocol):
    """What `saturate` needs to know of a rewrite rule."""

    @property
    def name(self) -> str:
        """Unique name; it is the reason recorded in proofs."""

    @property
    def pattern(self) -> PatternNode:
        """The left side."""

    @property
    def uses_facts(self) -> bool:
        """Whether `recipe` reads the analysis; it is called for each combination of data, too."""

    @property
    def only_merges(self) -> bool:
        """Whether it applies only where its right side is in the e-graph already."""

    def recipe(
        self,
        attributes: Mapping[str, Any],
        operand_types: Mapping[str, Any],
        root_type: Any,
        facts: Mapping[str, Any] | None = None,
    ) -> Recipe | None:
        """Return the right side, or None where the rule does not apply.

        `facts` maps operand variables to analysis data (a `Told`), and is given only if
        `uses_facts`.
        """
