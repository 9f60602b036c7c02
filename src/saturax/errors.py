"""Errors that saturax raises; each says what was expected, what came and what to do."""


class SaturaxError(Exception):
    """Base of every error that saturax raises on purpose."""


class ImportFailure(SaturaxError):  # noqa: N818 (`ImportError` is Python's)
    """The input is not a StableHLO program that saturax can represent."""


class DynamicShapeError(ImportFailure):
    """The program has a dimension whose size is not known at compile time."""


class TypeInferenceError(SaturaxError):
    """Operands and attributes of an operation do not fit together."""


class RuleError(SaturaxError):
    """A rewrite rule raised, or its sides have different types; the message names the rule."""


class OptionsError(SaturaxError):
    """An option has an invalid value."""


class VerificationError(SaturaxError):
    """A candidate program computes something else than the original."""
