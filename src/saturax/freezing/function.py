"""`saturax.freeze`: a function some of whose arguments are fixed once, such as a model's weights.

For each combination of the other arguments' types the function is exported with the frozen arrays
as parameters, optimised, and split: a prologue computes once what depends on the frozen arrays
alone, and the main program takes its results, which the frozen function holds on the device.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import operator
import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.export
import numpy as np

from saturax.cache.executables import kept_executables
from saturax.cache.module_memory import ModuleMemory
from saturax.errors import SaturaxError
from saturax.freezing.arguments import FrozenArguments, FrozenError, as_data
from saturax.freezing.preparation import Preparation
from saturax.freezing.program import FrozenProgram, signature_of
from saturax.graph.types import TensorType, numpy_dtype
from saturax.jax_internals import fast_calls_after, is_tracing
from saturax.jaxlib_compat import default_device
from saturax.jitted import SaturaxWarning, depth_of_caller
from saturax.mlir_modules import ModuleError, located_nowhere, mlir_context
from saturax.options import Options, checked, is_disabled
from saturax.report.model import Report, StageReport
from saturax.report.text import summary

if TYPE_CHECKING:
    from saturax.run import OnProgress

logger = logging.getLogger("saturax")


class Frozen:
    """A function of the arguments that were not frozen.

    `reports` has one `Report` for every combination of argument types so far; `report.frozen` says
    what was computed beforehand and how many bytes it takes. Under a transformation (grad, vmap, an
    outer jit, …) the original function is traced, with the frozen values as its constants.
    """

    def __init__(
        self, arguments: FrozenArguments, options: Options, on_progress: OnProgress
    ) -> None:
        self.reports: list[Report] = []
        self._arguments = arguments
        self._options = options
        self._on_progress = on_progress
        self._programs: dict[Hashable, FrozenProgram | None] = {}
        # Where there is no optimised program: the weights are arguments, as under jax.jit.
        self._plain: Any = jax.jit(arguments.call)
        self._name = str(getattr(arguments.function, "__name__", type(arguments.function).__name__))
        self._fast = fast_calls_after(self._original, self._choose)
        functools.update_wrapper(self, arguments.function, updated=())

    # A call is a descriptor's work, so that no frame of Python stands before JAX's fast path.
    __call__ = property(operator.attrgetter("_fast"), doc="Call the optimised program.")

    def _original(self, *args: Any, **kwargs: Any) -> Any:
        return self._arguments.call(self._arguments.arrays, args, kwargs)

    def _choose(self, args: Any, kwargs: Any) -> tuple[Any, Sequence[Any]] | None:
        """The jitted function that serves such arguments, and the values that it takes first."""
        if is_tracing() or getattr(jax.config, "jax_disable_jit", False):
            return None
        program = self._program(args, kwargs)
        return (self._plain, self._arguments.arrays) if program is None else program.held()

    @property
    def report(self) -> Report | None:
        """The report of the program that was optimised last; None before the first call."""
        return self.reports[-1] if self.reports else None

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """Lower the main program for these arguments; it takes the prepared values first."""
        program = self._program(args, kwargs)
        if program is not None:
            return program.lower(args, kwargs)
        lowered: jax.stages.Lowered = self._plain.lower(self._arguments.arrays, args, kwargs)
        return lowered

    def refreeze(self, *frozen: Any, **named: Any) -> Frozen:
        """The same function with new frozen values: programs stay, only the prologues run again.

        Takes what `freeze` was given after the function; a function that holds arrays itself (an
        equinox module, say) comes first.

        Raises:
            FrozenError: the values have another structure, shape, dtype, or another static part.
        """
        arguments = self._arguments.with_values(frozen, named)
        other = Frozen(arguments, self._options, self._on_progress)
        other.reports = list(self.reports)
        arrays = arguments.data()
        other._programs = {
            key: None if program is None else program.with_frozen(arrays)
            for key, program in self._programs.items()
        }
        return other

    def save(self, path: str | Path) -> None:
        """Write the programs optimised so far, with the values they hold, to a safetensors file.

        `saturax.load_frozen` reads it, without the function and without optimising.

        Raises:
            FrozenError: no program was optimised yet, one runs unoptimised, or the file cannot be
                written.
        """
        from saturax.freezing.file import save

        programs = [program for program in self._programs.values() if program is not None]
        if not programs or len(programs) < len(self._programs):
            why = "one of its programs runs unoptimised" if self._programs else "there is none yet"
            raise FrozenError(
                f"expected a frozen function with optimised programs, but {why}; call it once for "
                "each combination of arguments that the file shall hold"
            )
        save(Path(path), self._name, programs, self._arguments.description(), self.reports)

    def _program(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FrozenProgram | None:
        """The program for arguments like these; None if the original is to run."""
        key = signature_of(args, kwargs)
        try:
            return self._programs[key]
        except KeyError:
            pass
        program = None
        if not is_disabled():
            try:
                program = self._optimized(args, kwargs)
            except Exception as error:  # the promise: whatever happens, the original runs
                # Raises what is the function's own fault.
                jax.eval_shape(self._arguments.call, self._arguments.arrays, args, kwargs)
                self._warn(f"could not optimise {self._name}, so it runs as under jax.jit: {error}")
        self._programs[key] = program
        return program

    def _optimized(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FrozenProgram:
        frozen = self._arguments.data()
        _check_devices(frozen)
        exported = _export(self._arguments, args, kwargs)
        start = time.monotonic()
        memory = _memory(exported, len(frozen), self._options)
        chosen = None if memory is None else _recalled(memory, start)
        if chosen is None:
            chosen = self._searched(exported, frozen, args, kwargs, memory)
        report = dataclasses.replace(chosen.report, program=self._name)
        self.reports.append(report)
        logger.info(summary(report))
        for warning in report.warnings:
            self._warn(warning)
        with kept_executables(self._options):
            program = self._built(chosen, exported, frozen)
            program.compile(args, kwargs, self._options)
        return program

    def _built(
        self, chosen: _Chosen, exported: jax.export.Exported, frozen: Sequence[jax.Array]
    ) -> FrozenProgram:
        """The program that was chosen, with the values that it is prepared with."""
        is_data = all(map(operator.is_, frozen, self._arguments.arrays))  # and none of them a key
        if chosen.report.outcome == "original" and is_data:
            # As JAX makes it: XLA orders the same operations differently where they are written
            # anew or called.
            nothing = Preparation.of_nothing(len(frozen), chosen.preparation.constants)
            whole = FrozenProgram(nothing, exported, function=self._arguments.call)
            return whole.with_frozen(frozen)
        return FrozenProgram.of(chosen.preparation, chosen.main, exported).with_frozen(frozen)

    def _searched(
        self,
        exported: jax.export.Exported,
        frozen: Sequence[jax.Array],
        args: Any,
        kwargs: Any,
        memory: ModuleMemory | None,
    ) -> _Chosen:
        """Let the optimiser choose."""
        # Importing it takes longer than a hit of the cache, which does without it.
        from saturax.pipeline import optimize_program
        from saturax.stablehlo import emit_module, import_module, to_portable_artifact

        program = import_module(exported.mlir_module_serialized)
        given = [as_data(leaf) for leaf in jax.tree.leaves((args, kwargs))]
        pairs = zip([*frozen, *given], program.graph.inputs, strict=True)
        is_abstract = any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in given)
        examples = None if is_abstract else [_as_array(leaf, type) for leaf, type in pairs]
        result = optimize_program(
            program,
            self._options,
            examples,
            self._on_progress,
            range(len(frozen)),
            source=exported.mlir_module_serialized,
        )
        if result.is_interrupted:  # by whoever runs the program, and means all of it
            raise KeyboardInterrupt
        assert result.split is not None
        main = to_portable_artifact(emit_module(result.split.main))
        chosen = _Chosen(result.report, Preparation.of(result.split), main)
        if memory is not None and result.is_remembered:
            document, blobs = chosen.preparation.to_document()
            memory.keep(result.report, {"main": main, **blobs}, document)
        return chosen

    def _warn(self, text: str) -> None:
        logger.info(text)
        warnings.warn(f"saturax: {text}", SaturaxWarning, stacklevel=depth_of_caller())


def freeze(
    function: Callable[..., Any],
    /,
    *frozen: Any,
    options: Options | None = None,
    on_progress: OnProgress = lambda stage, detail: None,
    **named: Any,
) -> Frozen:
    """Fix the first arguments of a function, and others by name, as `functools.partial` does.

    The result is a function of the remaining arguments, compiled as by `saturax.jit`. What depends
    on the frozen arrays alone (weights concatenated, transposed, scaled, …) is computed once, in
    the precision that the function has; so are large constants that the function closes over.
    Frozen leaves that are not arrays (flags, sizes, functions) are static. The function may be a
    pytree that holds arrays itself.

    >>> import jax.numpy as jnp
    >>> def apply(parameters, x):
    ...     return x @ parameters["w"] + parameters["b"]
    >>> parameters = {"w": jnp.eye(3), "b": jnp.ones(3)}
    >>> fast = freeze(apply, parameters, options=Options(time_limit_s=0))
    >>> fast(jnp.ones((2, 3))).shape
    (2, 3)
    >>> float(fast.refreeze({"w": jnp.eye(3), "b": jnp.zeros(3)})(jnp.ones(3)).sum())
    3.0

    Raises:
        FrozenError: the function has no such arguments, or values are being traced.
    """
    arguments = FrozenArguments.of(function, frozen, named)
    return Frozen(arguments, checked(options), on_progress)


def _export(arguments: FrozenArguments, args: Any, kwargs: Any) -> jax.export.Exported:
    """The function of (frozen arrays, args, kwargs), exported for arguments like these."""
    # All arguments are kept, so that they are the program's inputs, one by one.
    function = jax.jit(arguments.call, keep_unused=True)
    frozen, *rest = jax.tree.map(_abstract, (list(arguments.arrays), args, kwargs))
    exported = jax.export.export(function)(frozen, *rest)
    if exported.nr_devices > 1 or exported.ordered_effects or exported.unordered_effects:
        raise SaturaxError("programs with effects or on several devices run unoptimised")
    return exported


@dataclass(frozen=True)
class _Chosen:
    """What runs for arguments of some types: how it is prepared, and its portable artifact."""

    report: Report
    preparation: Preparation
    main: bytes


def _memory(exported: jax.export.Exported, count: int, options: Options) -> ModuleMemory | None:
    """Where the cache has what became of an exported function; None if it is not kept."""
    if options.time_limit_s == 0:
        return None
    try:
        bytecode = located_nowhere(exported.mlir_module_serialized, mlir_context())
    except ModuleError:  # then the program is found by what it computes
        return None
    return ModuleMemory.of(bytecode, options, frozen=count)


def _recalled(memory: ModuleMemory, start: float) -> _Chosen | None:
    """What was chosen for the same module before, if that is known."""
    found = memory.find()
    if found is None:
        return None
    report, entry = found
    try:
        preparation = Preparation.from_document(entry.document, entry.blobs)
        main = entry.blobs["main"]
    except (KeyError, ValueError, TypeError):  # as if it were not there
        return None
    stages = [StageReport("recall", time.monotonic() - start)]
    return _Chosen(dataclasses.replace(report, stages=stages), preparation, main)


def _abstract(leaf: Any) -> Any:
    """An argument without its value; Python numbers stay, for their weak types."""
    if not isinstance(leaf, jax.Array):
        return leaf
    weak_type = bool(getattr(leaf, "weak_type", False))
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=weak_type)


def _as_array(leaf: Any, type: Any) -> np.ndarray[Any, Any]:
    assert isinstance(type, TensorType)
    return np.asarray(leaf).astype(numpy_dtype(type.dtype), copy=False)


def _check_devices(arrays: list[jax.Array]) -> None:
    """Frozen arrays must be where programs run."""
    devices = {device for array in arrays for device in array.devices()}
    if not devices <= {default_device()}:
        raise SaturaxError(
            f"expected frozen arrays on {default_device()}, the default device, got some on "
            f"{', '.join(map(str, devices))}"
        )
