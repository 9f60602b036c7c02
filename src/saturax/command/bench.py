"""`saturax bench`: a program as it is, optimised, and under other optimisers, side by side.

A subject is read from a StableHLO file or a Python function and given arguments; it is optimised,
and everything is then timed interleaved, on inputs that the optimiser has not seen where they are
drawn, and compared with what plain XLA computes.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.export
import numpy as np

from saturax.checking.inputs import Array, check_examples, draw
from saturax.errors import OptionsError, SaturaxError
from saturax.graph.ir import Program
from saturax.graph.types import TensorType, numpy_dtype
from saturax.jax_internals import examples_of
from saturax.jaxlib_compat import compile_module
from saturax.mlir_modules import without_donation
from saturax.options import Options
from saturax.pipeline import optimize_program
from saturax.racing.interleave import Call, interleave, ratio_of_medians
from saturax.report.model import Report
from saturax.run import OnProgress
from saturax.stablehlo import emit_module, import_module, read

_SHAPE = re.compile(r"(\w+)\[([\d,\s]*)\]")
_DTYPES = {
    "bool": "i1", "pred": "i1", "c64": "complex<f32>", "c128": "complex<f64>",
    **{f"u{bits}": f"ui{bits}" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is measured: a program, and values of its inputs if they were given.

    `function` is the Python function that it came from, which other optimisers need, with the
    structure of its arguments.
    """

    name: str
    program: Program
    values: Sequence[Array] | None = None
    function: tuple[Callable[..., Any], Any] | None = None

    def inputs(self, seed: int) -> list[Array]:
        """Values for the program's inputs: those given, or drawn from a seed."""
        if self.values is not None:
            return list(self.values)
        types = [t for t in self.program.graph.inputs if isinstance(t, TensorType)]
        return draw("normal", types, None, 1.0, seed)


@dataclass(frozen=True)
class Measured:
    """One program's figures: µs of a call, XLA's time over it with its 95 % interval, and the
    largest difference of its outputs from XLA's, relative to an output's largest magnitude.
    """

    name: str
    time_us: float
    ratio: float
    interval: tuple[float, float]
    difference: float


@dataclass(frozen=True)
class BenchResult:
    """What `bench` measured, XLA first, saturax second, and saturax's report."""

    name: str
    measured: tuple[Measured, ...]
    failed: Mapping[str, str]
    rounds: int
    report: Report


def read_subject(
    target: str,
    shapes: Sequence[str] = (),
    inputs: Path | None = None,
    arguments: str | None = None,
) -> Subject:
    """The subject that a command line names: a StableHLO file, or `file.py:f`, `package.module:f`.

    The values of inputs are drawn, or read from the arrays of an .npz file, in its order. A
    function's arguments are what `arguments`, a function of the same module, returns (a tuple), or
    those of the .npz file, or drawn for `shapes` such as "f32[128,256]".

    Raises:
        OptionsError: there is no such file or function, or its arguments are not known.
    """
    if inputs is not None and not inputs.is_file():
        raise OptionsError(f"inputs: expected an .npz file, found no file {inputs}")
    values = None if inputs is None else list(np.load(inputs).values())
    place, colon, name = target.rpartition(":")
    if not colon and target.endswith(".py"):
        raise OptionsError(f"{target}: say which function of it is meant, as in {target}:step")
    if not colon:
        if not Path(target).is_file():
            raise OptionsError(
                f"expected a StableHLO file or module.py:function, found no file {target}"
            )
        program = import_module(read(Path(target).read_bytes()).module)
        if values is not None:
            values = check_examples(values, program.graph.inputs)  # type: ignore[arg-type]
        return Subject(target, program, values)
    module = _module(place)
    function = _member(module, name)
    if arguments is not None:
        given: Any = _member(module, arguments)()
        if not isinstance(given, tuple):
            raise OptionsError(
                f"arguments: expected {arguments} to return a tuple, got {type(given).__name__}"
            )
    else:
        given = tuple(map(shape_of, shapes) if values is None else values)
    if not given:
        raise OptionsError(
            f"{target}: its arguments are not known; give shapes (--shape 'f32[128,256]', once "
            "for each), an .npz file (--inputs) or a function that returns them (--arguments)"
        )
    return _traced(target, function, given)


def _traced(target: str, function: Callable[..., Any], given: tuple[Any, ...]) -> Subject:
    jitted = jax.jit(function, keep_unused=True)
    lowered = jitted.lower(*given)
    module: Any = lowered.compiler_ir("stablehlo")
    program = import_module(module)
    structure = jax.tree.structure(given)
    values = examples_of(lowered, jitted, given, {})
    named = replace(program, module_name=target.rpartition(":")[2])
    return Subject(target, named, values, (function, structure))


def shape_of(text: str) -> jax.ShapeDtypeStruct:
    """A shape as JAX prints it.

    >>> shape_of("f32[128,256]")
    ShapeDtypeStruct(shape=(128, 256), dtype=float32)

    Raises:
        OptionsError: the text is none.
    """
    match = _SHAPE.fullmatch(text.strip())
    sizes = [] if match is None else [n for n in match[2].replace(" ", "").split(",") if n]
    try:
        assert match is not None
        type = TensorType(tuple(map(int, sizes)), _DTYPES.get(match[1], match[1]))
        return jax.ShapeDtypeStruct(type.shape, numpy_dtype(type.dtype))
    except (AssertionError, KeyError, ValueError):
        raise OptionsError(f"shape: expected one such as f32[128,256], got {text!r}") from None


def _module(place: str) -> ModuleType:
    """A module by the path of its file or by its name."""
    path = Path(place)
    if path.suffix != ".py":
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise OptionsError(f"expected a module {place}, but {error}") from error
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise OptionsError(f"expected a Python file, found no file {place}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def _member(module: ModuleType, name: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise OptionsError(f"expected a function {name} in {module.__name__}, found none")
    return found  # type: ignore[no-any-return]


def bench(
    subject: Subject,
    options: Options,
    budget_s: float = 6.0,
    on_progress: OnProgress = lambda stage, detail: None,
) -> BenchResult:
    """Optimise a subject and time it against its original and, if there is one, Enzyme-JAX."""
    seed = options.seed
    result = optimize_program(subject.program, options, subject.inputs(seed), on_progress)
    if result.is_interrupted:
        raise KeyboardInterrupt
    fresh = subject.inputs(seed + 1)
    on_progress("bench", "compiling what is timed")
    programs: dict[str, Call] = {
        "XLA": _compiled(subject.program, fresh),
        "saturax": _compiled(result.program, fresh),
    }
    failed: dict[str, str] = {}
    try:
        programs["enzyme"] = _enzyme(subject, fresh)
    except Exception as error:  # what another optimiser cannot do is a result
        failed["enzyme"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    on_progress("bench", "timing")
    times = interleave(programs, budget_s, seed)
    expected = _arrays(programs["XLA"]())
    measured = []
    for name, call in programs.items():
        ratio, interval = ratio_of_medians(times["XLA"], times[name])
        difference = max(map(relative_difference, expected, _arrays(call())), default=0.0)
        time_us = 1e6 * float(np.median(times[name]))
        measured.append(Measured(name, time_us, ratio, interval, difference))
    return BenchResult(subject.name, tuple(measured), failed, len(times["XLA"]), result.report)


def _compiled(program: Program, inputs: Sequence[Array]) -> Call:
    executable = compile_module(without_donation(emit_module(program)))
    with jax.enable_x64(True):
        arrays = [jax.device_put(array) for array in inputs]
    return lambda: jax.block_until_ready(executable(arrays))


def _enzyme(subject: Subject, inputs: Sequence[Array]) -> Call:
    """The subject under Enzyme-JAX's whole pipeline, run once.

    Raises:
        ImportError: `enzyme-ad` is not installed.
        SaturaxError: the subject is a file, and Enzyme-JAX takes functions.
    """
    from enzyme_ad.jax import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        JaXPipeline,
        enzyme_jax_ir,
        full_optimization_pass_pipeline,
    )

    if subject.function is None:
        raise SaturaxError("it takes functions, not files")
    function, structure = subject.function
    pipeline = JaXPipeline(full_optimization_pass_pipeline())
    jitted = jax.jit(enzyme_jax_ir(pipeline_options=pipeline)(function))
    arguments = jax.tree.unflatten(structure, [jax.device_put(array) for array in inputs])
    # Compiled ahead of time, as the others are: their calls take the same path.
    compiled = jitted.lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    return lambda: jax.block_until_ready(compiled(*arguments))


def _arrays(outputs: Any) -> list[Array]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(outputs)]


def relative_difference(expected: Array, found: Array) -> float:
    """The largest difference, relative to the largest magnitude of what is expected.

    Of integers, the share that differs. Infinite where shapes or the finite elements differ.
    """
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    if not jax.numpy.issubdtype(expected.dtype, np.inexact):
        return float(np.mean(expected != found))
    wide = np.complex128 if np.iscomplexobj(expected) else np.float64
    a, b = expected.astype(wide), found.astype(wide)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return float("inf")
    scale = float(np.max(np.abs(a[finite]), initial=0.0)) or 1.0
    return float(np.max(np.abs(a - b)[finite], initial=0.0)) / scale


def table(result: BenchResult) -> str:
    """The result as text, a program a line."""
    lines = [f"{result.name}: {result.rounds} interleaved rounds; XLA's time over each program's"]
    for row in result.measured:
        low, high = row.interval
        compared = (
            f"  {row.ratio:.2f}× (95 % interval {low:.2f}–{high:.2f})"
            f"  outputs differ by {row.difference:.1e}"
        )
        time = f"  {row.name:<8} {row.time_us:>10.1f} µs"
        lines.append(time if row.name == "XLA" else time + compared)
    lines += [f"  {name:<8} not measured: {reason}" for name, reason in result.failed.items()]
    return "\n".join(lines)
