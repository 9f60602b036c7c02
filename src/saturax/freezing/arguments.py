"""Which arguments of a function are frozen, and with which values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saturax.errors import SaturaxError


class FrozenError(SaturaxError):
    """Values, files or calls that do not fit a frozen function."""


class _Array:
    """Stands for an array among the leaves that are not arrays."""

    def __repr__(self) -> str:
        return "an array"


_ARRAY = _Array()


@dataclass(frozen=True)
class FrozenArguments:
    """A function with some arguments fixed.

    `leaves` are those of the pytree (function, positional arguments, named arguments), with
    `arrays` taken out. What is not an array (a flag, a size, a nested function) is fixed as it is.
    """

    structure: Any
    leaves: tuple[Any, ...]
    arrays: tuple[jax.Array, ...]
    names: tuple[str, ...]
    has_arrays_in_function: bool

    @classmethod
    def of(
        cls, function: Callable[..., Any], frozen: Sequence[Any], named: Mapping[str, Any]
    ) -> FrozenArguments:
        """Fix the first arguments of `function`, and others by name.

        Raises:
            FrozenError: a value is being traced, or the function has no such arguments.
        """
        _check_arguments(function, frozen, named)
        paths, structure = jax.tree_util.tree_flatten_with_path((function, (*frozen,), {**named}))
        arrays = [(path, leaf) for path, leaf in paths if is_array(leaf)]
        for path, leaf in arrays:
            if isinstance(leaf, jax.core.Tracer):
                raise FrozenError(
                    f"expected values to freeze, but {_name(path)} is being traced; call "
                    "saturax.freeze outside of jit, grad and vmap"
                )
        return cls(
            structure,
            tuple(_ARRAY if is_array(leaf) else leaf for _, leaf in paths),
            tuple(_on_device(leaf) for _, leaf in arrays),
            tuple(_name(path) for path, _ in arrays),
            any(is_array(leaf) for leaf in jax.tree.leaves(function)),
        )

    @property
    def function(self) -> Callable[..., Any]:
        """The function, with its arrays if it is a pytree of them."""
        found: Callable[..., Any] = self._unflatten(self.arrays)[0]
        return found

    def call(self, arrays: Sequence[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the function with frozen `arrays` and the arguments that are not frozen."""
        function, frozen, named = self._unflatten(arrays)
        if not named:
            return function(*frozen, *args, **kwargs)
        bound = _rest(function, frozen, named).bind(*args, **kwargs)
        whole = inspect.signature(functools.partial(function, *frozen))
        given = bound.arguments | named
        names = [name for name in whole.parameters if name in given]
        extra = {name: value for name, value in named.items() if name not in whole.parameters}
        arguments = inspect.BoundArguments(whole, {name: given[name] for name in names})
        return function(*frozen, *arguments.args, **(arguments.kwargs | extra))

    def with_values(self, frozen: Sequence[Any], named: Mapping[str, Any]) -> FrozenArguments:
        """The same function with other values.

        Raises:
            FrozenError: they have another structure, shape, dtype or another static part.
        """
        function = self.function
        if self.has_arrays_in_function and frozen:
            function, *frozen = frozen
        other = FrozenArguments.of(function, frozen, named)
        check_names(self.description(), other.description())
        same = all(a is b or _equal(a, b) for a, b in zip(self.leaves, other.leaves, strict=False))
        if self.structure != other.structure or not same:
            raise FrozenError(
                f"expected frozen values of structure {self.structure} with the same parts that "
                f"are not arrays, got {other.structure}; freeze the function anew"
            )
        return replace(self, arrays=other.arrays)

    def data(self) -> list[jax.Array]:
        """The arrays as a program takes them: PRNG keys by their data."""
        return [as_data(array) for array in self.arrays]

    def description(self) -> list[dict[str, Any]]:
        """Name, shape and dtype of every array, as JSON."""
        return describe(self.names, self.data())

    def _unflatten(self, arrays: Sequence[Any]) -> Any:
        values = iter(arrays)
        leaves = [next(values) if leaf is _ARRAY else leaf for leaf in self.leaves]
        return jax.tree.unflatten(self.structure, leaves)


def describe(names: Sequence[str], arrays: Sequence[jax.Array]) -> list[dict[str, Any]]:
    """Name, shape and dtype of arrays, as JSON."""
    return [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in zip(names, arrays, strict=True)
    ]


def check_names(expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> None:
    """Raise a `FrozenError` that says where two descriptions of frozen arrays differ first."""
    for a, b in zip(expected, found, strict=False):
        if a != b:
            raise FrozenError(f"expected as frozen value {_text(a)}, got {_text(b)}")
    if len(expected) != len(found):
        raise FrozenError(f"expected {len(expected)} frozen arrays, got {len(found)}")


def _text(row: Mapping[str, Any]) -> str:
    return f"{row['name']} of shape {tuple(row['shape'])} and dtype {row['dtype']}"


def is_array(leaf: Any) -> bool:
    """Whether a leaf of the frozen values is data; Python numbers are part of the program."""
    if isinstance(leaf, jax.Array):
        return True
    return isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind not in "OUSMm"


def as_data(leaf: Any) -> Any:
    """An argument as a program takes it: PRNG keys by their data."""
    is_key = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    return jax.random.key_data(leaf) if is_key else leaf


def _on_device(leaf: Any) -> jax.Array:
    return leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # whatever a foreign `==` may raise: not known to be equal
        return False


def _name(path: Any) -> str:
    """The path of an array as people write it: `args[0]['w']`, `named['w']`, `function.w`."""
    root = ("function", "args", "named")[path[0].idx]
    return root + jax.tree_util.keystr(path[1:])


def _rest(function: Callable[..., Any], frozen: Any, named: Mapping[str, Any]) -> inspect.Signature:
    """The signature of the arguments that are not frozen."""
    whole = inspect.signature(functools.partial(function, *frozen))
    parameters = [p for name, p in whole.parameters.items() if name not in named]
    return whole.replace(parameters=parameters)


def _check_arguments(
    function: Callable[..., Any], frozen: Sequence[Any], named: Mapping[str, Any]
) -> None:
    if not callable(function):
        raise FrozenError(f"expected a function to freeze arguments of, got {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        if named:
            raise FrozenError(
                f"expected a function whose arguments have names, but {function!r} does not tell "
                "them; freeze its first arguments by position"
            ) from None
        return
    try:
        signature.bind_partial(*frozen, **named)
    except TypeError as error:
        raise FrozenError(f"expected arguments that the function has, but: {error}") from None
