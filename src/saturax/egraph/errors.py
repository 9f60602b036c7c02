"""Errors of the e-graph engine; each names the rule (or reason) at fault and what to do."""

from typing import Any

from saturax.errors import RuleError


class RuleApplicationError(RuleError):
    """A rule's right side raised an exception or returned a malformed recipe."""

    def __init__(self, rule: str, message: str) -> None:
        """Name the rule at fault."""
        super().__init__(f"rule {rule}: {message}")
        self.rule = rule


class RuleTypeError(RuleApplicationError):
    """A rule's right side has another type than its left side."""

    def __init__(self, rule: str, expected: Any, actual: Any) -> None:
        """Take the types of the left (`expected`) and right side (`actual`)."""
        super().__init__(
            rule,
            f"the left side has type {expected} but the right side has type {actual}. "
            "Return a right side of the left side's type, or None where the rule does not apply.",
        )
        self.expected = expected
        self.actual = actual


class TypeClashError(RuleError):
    """Two e-classes of different types were to be merged."""

    def __init__(self, reason: str, left_type: Any, right_type: Any) -> None:
        """Take the reason given for the union (a rule, a proposal) and both types."""
        super().__init__(
            f"{reason} equates a value of type {left_type} with one of type {right_type}. "
            "Both sides of an equality must have one type: correct the rule or proposal named."
        )
        self.reason = reason
        self.left_type = left_type
        self.right_type = right_type
