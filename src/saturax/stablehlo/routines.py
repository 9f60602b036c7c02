"""Calls of LAPACK and cuSOLVER, as JAX writes them, to operations of the table and back.

A call is recognised by writing what its operation would be written as: only if every attribute is
the same, to the letter, does it become that operation. Others stay generic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from saturax.graph.build import result_types
from saturax.graph.ops import Routine, Triangle
from saturax.graph.types import TensorType, Type

Texts = tuple[tuple[str, str], ...]
Attributes = tuple[Any, ...]

CALL = "stablehlo.custom_call"
_PRECISION = {"f32": "s", "f64": "d", "complex<f32>": "c", "complex<f64>": "z"}
_TRANSPOSE = {"NO_TRANSPOSE": "N", "TRANSPOSE": "T", "ADJOINT": "C"}
_TARGET = re.compile(r'"(lapack_[sdcz]|cusolver_|cu_)(\w+?)(?:_ffi)?"')
_FIELD = re.compile(r"(\w+) = ([\w.]+)")
# Attributes that may be written out although they say nothing.
_DEFAULTS = frozenset(
    {("api_version", "1 : i32"), ("backend_config", '""'), ("called_computations", "[]")}
    | {("has_side_effect", "false")}
)
# Names of factors in sharding rules, in the order in which MLIR prints them.
_LETTERS = "ijklmnopqrstuvwxyz"


class _Form(NamedTuple):
    """How an operation is called: its routine's name, options, and which operand is overwritten.

    `name(is_complex)` is without precision; `config(attributes, library)` are the call's options;
    `read(options)` makes the operation's attributes of them, without the routine.
    """

    name: Callable[[bool], str]
    config: Callable[[Any, str], dict[str, str]]
    read: Callable[[dict[str, str], Sequence[TensorType]], Attributes]
    overwritten: int | None = 0


def _character(letter: str) -> str:
    return f"{ord(letter)} : ui8"


def _no_options(attributes: Any, library: str) -> dict[str, str]:
    return {}


def _nothing(options: dict[str, str], results: Sequence[TensorType]) -> Attributes:
    return ()


def _triangle_options(attributes: Any, library: str) -> dict[str, str]:
    triangle = Triangle(*attributes[0])
    return {
        "diag": _character("U" if triangle.is_unit else "N"),
        "side": _character("L" if triangle.is_left else "R"),
        "trans_x": _character(_TRANSPOSE[triangle.transpose]),
        "uplo": _character("L" if triangle.is_lower else "U"),
    }


def _read_triangle(options: dict[str, str], results: Sequence[TensorType]) -> Attributes:
    letters = {name: chr(int(value)) for name, value in options.items()}
    names = {letter: name for name, letter in _TRANSPOSE.items()}
    return (
        Triangle(
            letters["side"] == "L",
            letters["uplo"] == "L",
            letters["diag"] == "U",
            names[letters["trans_x"]],
        ),
    )


def _cholesky_options(attributes: Any, library: str) -> dict[str, str]:
    return {"uplo": _character("L")} if library == "lapack" else {"lower": "true"}


def _eigh_options(attributes: Any, library: str) -> dict[str, str]:
    is_lower = attributes[0]
    if library == "lapack":
        return {"mode": _character("V"), "uplo": _character("L" if is_lower else "U")}
    return {"algorithm": "0 : ui8", "lower": "true" if is_lower else "false"}


def _read_eigh(options: dict[str, str], results: Sequence[TensorType]) -> Attributes:
    is_lower = options.get("lower") == "true" or options.get("uplo") == str(ord("L"))
    return (is_lower,)


def _svd_options(attributes: Any, library: str) -> dict[str, str]:
    return {"mode": _character(attributes[0])}


def _read_svd(options: dict[str, str], results: Sequence[TensorType]) -> Attributes:
    return (chr(int(options["mode"])),)


FORMS: dict[str, _Form] = {
    "triangular_solve": _Form(lambda z: "trsm", _triangle_options, _read_triangle, 1),
    "cholesky_call": _Form(lambda z: "potrf", _cholesky_options, _nothing),
    "lu": _Form(lambda z: "getrf", _no_options, _nothing),
    "lu_permutation": _Form(
        lambda z: "lu_pivots_to_permutation",
        _no_options,
        lambda options, results: (results[0].shape[-1],),
        None,
    ),
    "qr": _Form(lambda z: "geqrf", _no_options, _nothing),
    "householder_product": _Form(lambda z: "ungqr" if z else "orgqr", _no_options, _nothing),
    "eigh": _Form(lambda z: "heevd" if z else "syevd", _eigh_options, _read_eigh),
    "svd": _Form(lambda z: "gesdd", _svd_options, _read_svd),
}
"""The operations that may be calls."""

_OPERATIONS = {form.name(z): op for op, form in FORMS.items() for z in (False, True)}


def _target(op: str, library: str, dtype: str) -> str:
    if op == "lu_permutation":
        return "cu_lu_pivots_to_permutation"
    if library == "lapack":
        return f"lapack_{_PRECISION[dtype]}{FORMS[op].name(dtype.startswith('c'))}_ffi"
    return f"{library}_{FORMS[op].name(False)}_ffi"


def _layout(rank: int, column_major: bool) -> str:
    """Dimensions from the one that changes fastest: matrices by columns, all else by rows."""
    order = list(range(rank - 1, -1, -1))
    if column_major:
        order[:2] = order[1::-1]
    text = str(order[0]) if rank == 1 else "" if not rank else str(order)
    return f"dense<{text}> : tensor<{rank}xindex>"


def _list(items: Sequence[str]) -> str:
    return f"[{', '.join(items)}]"


def _sharding(batch: int, operands: Sequence[TensorType], results: Sequence[TensorType]) -> str:
    """The sharding rule that JAX derives: batches are shared, each matrix dimension is its own."""
    factors: list[int] = list(operands[0].shape[:batch])

    def mapping(type: TensorType) -> str:
        own = range(len(factors), len(factors) + type.rank - batch)
        factors.extend(type.shape[batch:])
        return _list([_LETTERS[i] for i in (*range(batch), *own)])

    left = ", ".join(map(mapping, operands))
    right = ", ".join(map(mapping, results))
    sizes = ", ".join(f"{_LETTERS[i]}={n}" for i, n in enumerate(factors))
    return f"#sdy.op_sharding_rule<({left})->({right}) {{{sizes}}}, custom>"


@cache
def write_call(
    op: str, attributes: Attributes, operands: tuple[TensorType, ...], type: Type
) -> Texts:
    """The attributes of the call that an operation is, as MLIR text, sorted by name."""
    form, routine = FORMS[op], Routine(*attributes[-1])
    results: Any = result_types(type)
    rank = max(operand.rank for operand in operands)
    matrix_rank = 1 if op == "lu_permutation" else 2
    options = form.config(attributes, routine.library)
    fields = {
        "call_target_name": f'"{_target(op, routine.library, operands[0].dtype)}"',
        "mhlo.backend_config": "{" + ", ".join(f"{k} = {v}" for k, v in options.items()) + "}",
    }
    for name, types in (("operand_layouts", operands), ("result_layouts", results)):
        layouts = [_layout(t.rank, matrix_rank == 2 and t.rank == rank) for t in types]
        fields[name] = _list(layouts)
    if form.overwritten is not None:
        indices = "[0]" if len(results) > 1 else "[]"
        fields["output_operand_aliases"] = (
            f"[#stablehlo.output_operand_alias<output_tuple_indices = {indices}, "
            f"operand_index = {form.overwritten}, operand_tuple_indices = []>]"
        )
    if routine.is_sharded:
        batch = rank - matrix_rank
        fields["mhlo.frontend_attributes"] = f'{{num_batch_dims = "{batch}"}}'
        fields["sdy.sharding_rule"] = _sharding(batch, operands, results)
    return tuple(sorted(fields.items()))


def read_call(texts: Texts, operands: Sequence[Type], type: Type) -> tuple[str, Attributes] | None:
    """The operation of the table that a call is, with its attributes; None if it is another."""
    stated = tuple(pair for pair in texts if pair not in _DEFAULTS)
    fields = dict(stated)
    found = _TARGET.fullmatch(fields.get("call_target_name", ""))
    results: Any = result_types(type)
    if found is None or not all(isinstance(t, TensorType) for t in (*operands, *results)):
        return None
    library = "lapack" if found[1].startswith("lapack") else "cusolver"
    op = _OPERATIONS.get(found[2])
    if op is None or (library == "lapack" and operands[0].dtype not in _PRECISION):  # type: ignore[union-attr]
        return None
    routine = Routine(library, "sdy.sharding_rule" in fields)
    options = dict(_FIELD.findall(fields.get("mhlo.backend_config", "")))
    try:
        attributes = (*FORMS[op].read(options, results), routine)
        written = write_call(op, attributes, tuple(operands), type)
    except (KeyError, ValueError, IndexError):
        return None
    return (op, attributes) if written == stated else None
