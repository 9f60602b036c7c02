"""The command line: `saturax optimize | explain | bench | run | demo | rules | calibrate | cache`.

Exit codes: 0 done (also when the original program was kept: the report says so), 1 the input or an
option is wrong (of `run`: the script raised), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saturax.command.options import add_options, options_of
from saturax.command.script import INTERRUPTED, decisions_json, run_script
from saturax.errors import OptionsError, SaturaxError
from saturax.options import NUMERICS
from saturax.report.text import explain, summary

if TYPE_CHECKING:  # a script whose programs are in the cache waits for nothing of the optimiser
    from saturax.graph.ir import Program
    from saturax.pipeline import Optimized
    from saturax.run import OnProgress

_WRONG_INPUT = 1
_STANDARD = "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BrokenPipeError:  # the reader of our output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SaturaxError, OSError) as error:
        print(f"saturax: error: {error}", file=sys.stderr)
        return _WRONG_INPUT
    except KeyboardInterrupt:
        print("saturax: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="saturax",
        description="Make StableHLO programs faster by equality saturation.",
        epilog="exit codes: 0 done, 1 wrong input or option, 2 wrong usage, 130 interrupted",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--json", action="store_true", help="print JSON instead of text")
        return sub

    sub = add("optimize", _optimize, "Optimise a StableHLO file.")
    sub.add_argument(
        "input",
        type=Path,
        help="StableHLO text, bytecode, portable artifact, or "
        "jax.export serialisation; - reads standard input",
    )
    sub.add_argument(
        "-o",
        "--output",
        type=Path,
        help="where to write the same kind of file (default: standard output)",
    )
    add_options(sub)
    sub = add("explain", _explain, "Optimise a StableHLO file and tell what was done and why.")
    sub.add_argument("input", type=Path, help="as for optimize")
    sub.add_argument(
        "--html",
        type=Path,
        dest="output",
        metavar="FILE",
        help="write a page with drawings as well",
    )
    add_options(sub)
    _add_bench(add("bench", _bench, "Time a program, its optimised form and other optimisers."))
    sub = add("demo", _demo, "Optimise MobileNet-v2 on this machine.")
    add_options(sub)
    _add_run(add("run", _run, "Run a script with every program that JAX compiles optimised."))
    sub = add("rules", _rules, "List the rewrite rules.")
    sub.add_argument("--family", action="append", help="only rules of this family (repeatable)")
    sub.add_argument("--numerics", choices=NUMERICS, help="only rules of this class")
    sub.add_argument("--match", metavar="TEXT", help="only rules with TEXT in name or equation")
    sub.add_argument(
        "--status", metavar="TEXT", help="only rules with TEXT in their status, such as proved"
    )
    sub.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="markdown is docs/rules.md (default: %(default)s)",
    )
    add("calibrate", _calibrate, "Measure this device and store the result.")
    _add_cache(add("cache", _cache, "Show, clear, export or import programs and prices on disk."))
    return parser


def _add_bench(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", help="a StableHLO file, file.py:function or package.module:function")
    add(
        "--shape",
        action="append",
        default=[],
        metavar="f32[2,3]",
        help="of an argument of the function, once for each; its values are drawn",
    )
    add("--inputs", type=Path, metavar="FILE.npz", help="values of the inputs, in their order")
    add("--arguments", metavar="NAME", help="function of the module that returns the arguments")
    add("--budget", type=float, default=6.0, metavar="SECONDS", help="of timing (%(default)s)")
    add_options(parser)


def _bench(arguments: argparse.Namespace) -> int:
    from saturax.command.bench import bench, read_subject, table

    options = options_of(arguments)
    if not arguments.budget > 0:
        raise OptionsError(f"budget: expected more than 0 seconds, got {arguments.budget}")
    with _progress() as on_progress:
        subject = read_subject(
            arguments.target, arguments.shape, arguments.inputs, arguments.arguments
        )
        result = bench(subject, options, arguments.budget, on_progress)
    if arguments.json:
        report = json.loads(result.report.to_json())
        print(json.dumps(asdict(result) | {"report": report}, indent=2))
    else:
        print(f"{table(result)}\n{summary(result.report)}")
    return 0


def _add_run(parser: argparse.ArgumentParser) -> None:
    from saturax.installation import MINIMUM_OPERATIONS, PRIVATE

    parser.add_argument("-m", action="store_true", dest="is_module", help="SCRIPT names a module")
    parser.add_argument("--background", action="store_true", help="optimise while it runs")
    parser.add_argument(
        "--minimum-operations",
        type=int,
        default=MINIMUM_OPERATIONS,
        metavar="N",
        help="leave smaller programs alone (default: %(default)s)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only programs named so (step or jit_step, both will do)",
    )
    parser.add_argument(
        "--deny",
        action="append",
        metavar="PATTERN",
        help=f"no programs named so (default: {' '.join(PRIVATE)})",
    )
    add_options(parser)
    parser.add_argument("script", metavar="SCRIPT")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS")


def _run(arguments: argparse.Namespace) -> int:
    """The script's own output is its own: what saturax says goes to standard error."""
    from saturax.installation import PRIVATE, install

    installation = install(
        options=options_of(arguments),
        minimum_operations=arguments.minimum_operations,
        allow=arguments.allow,
        deny=PRIVATE if arguments.deny is None else arguments.deny,
        background=arguments.background,
    )
    try:
        return run_script(arguments.script, arguments.arguments, is_module=arguments.is_module)
    finally:
        done = decisions_json(installation) if arguments.json else installation.summary()
        if done:
            print(done, file=sys.stderr)


def _add_cache(parser: argparse.ArgumentParser) -> None:
    from saturax.cost.price_exchange import FOREIGN

    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, text in (
        ("info", "where the cache is and how much it holds (the default)"),
        ("clear", "remove the programs; prices stay"),
    ):
        actions.add_parser(name, help=text, description=text)
    for name, text in (
        ("export", "write programs and prices to a file that others can import"),
        ("import", "take over programs and prices from an exported file"),
    ):
        sub = actions.add_parser(name, help=text, description=text)
        sub.add_argument("file", type=Path, metavar="FILE")
        if name == "import":
            sub.add_argument(
                "--foreign",
                choices=FOREIGN,
                default=FOREIGN[0],
                help="what becomes of prices of another device, jaxlib or XLA flags: nothing "
                "(refuse), kept for programs of that device (keep), or used on this device where "
                "it has none itself (adopt) (default: %(default)s)",
            )


def _lines(done: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A nested table as indented text."""
    for name, value in done.items():
        title = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(value, Mapping):
            yield f"{title} none" if not value else title
            yield from _lines(value, indent + "  ")
        else:
            yield f"{title} {value}"


def _cache(arguments: argparse.Namespace) -> int:
    from saturax.cache.transfer import manage

    file, foreign = getattr(arguments, "file", None), getattr(arguments, "foreign", "refuse")
    done = manage(arguments.action or "info", file, foreign)
    if arguments.json:
        print(json.dumps(done, indent=2))
    else:
        print("\n".join(_lines(done)))
    return 0


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A status line on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.status import Status

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, detail: None
        return
    with Status("starting", console=console) as status:
        yield lambda stage, detail: status.update(f"{stage}: {detail}" if detail else stage)


def _run_on_file(
    arguments: argparse.Namespace,
) -> tuple[Optimized, Callable[[], str | bytes], Program]:
    """Optimise the input file; also what renders the result in the same form, and the original."""
    from saturax.pipeline import optimize_program
    from saturax.stablehlo import emit_module, import_module, read, write

    options = options_of(arguments)
    is_standard = str(arguments.input) == _STANDARD
    if arguments.input.suffix == ".py":
        raise OptionsError(
            f"expected a StableHLO file, got the Python file {arguments.input}; `saturax run` runs "
            "it with its programs optimised, `saturax bench FILE:FUNCTION` measures a function"
        )
    stored = read(sys.stdin.buffer.read() if is_standard else arguments.input.read_bytes())
    with _progress() as on_progress:
        original = import_module(stored.module)
        result = optimize_program(original, options, on_progress=on_progress)
    return result, lambda: write(emit_module(result.program), stored), original


def _optimize(arguments: argparse.Namespace) -> int:
    with _output(arguments) as put:
        result, rendered, _ = _run_on_file(arguments)
        if result.is_interrupted and result.report.outcome == "original":
            raise KeyboardInterrupt
        put(rendered())
    if arguments.json:
        print(result.report.to_json())
    else:
        print(summary(result.report), file=sys.stderr)
        for warning in result.report.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    return _exit_code(result)


def _exit_code(result: Optimized) -> int:
    return INTERRUPTED if result.is_interrupted else 0


@contextmanager
def _output(arguments: argparse.Namespace) -> Iterator[Callable[[str | bytes], None]]:
    """Where the program goes; a file is written whole or not at all.

    That it can be written is found out before time is spent on what to write.
    """
    path: Path | None = arguments.output
    if path is None or str(path) == _STANDARD:
        yield _drop if arguments.json else _print
        return
    if path.is_dir():
        raise IsADirectoryError(f"expected a file to write, but {path} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield lambda data: _write(partial, data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _drop(data: str | bytes) -> None:
    """Standard output is for the report."""


def _print(data: str | bytes) -> None:
    if isinstance(data, str):
        print(data)
    elif sys.stdout.isatty():
        raise SaturaxError("the output is binary: say where to write it with -o FILE")
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _write(path: Path, data: str | bytes) -> None:
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _explain(arguments: argparse.Namespace) -> int:
    with _output(arguments) as put:
        result, _, original = _run_on_file(arguments)
        if arguments.output is not None:
            put(_page(result, original))
    print(result.report.to_json() if arguments.json else explain(result.report))
    return _exit_code(result)


def _page(result: Optimized, original: Program) -> str:
    from saturax.catalogue import rows
    from saturax.report.html import Law, page

    laws = {row.name: Law(row.equation, row.numerics, row.status) for row in rows()}
    return page(result.report, (original.graph, result.program.graph), laws)


def _demo(arguments: argparse.Namespace) -> int:
    from saturax.api import optimize
    from saturax.command.demo import image, mobilenet_v2, parameters

    with _progress() as on_progress:
        result = optimize(
            mobilenet_v2,
            parameters(),
            image(),
            options=options_of(arguments),
            on_progress=on_progress,
        )
    print(result.report.to_json() if arguments.json else explain(result.report))
    return _exit_code(result)


def _rules(arguments: argparse.Namespace) -> int:
    from saturax.catalogue import as_json, as_markdown, as_text, rows

    found = rows(
        families=arguments.family,
        numerics=arguments.numerics,
        match=arguments.match,
        status=arguments.status,
    )
    shown = {"text": as_text, "markdown": as_markdown, "json": as_json}
    print(shown["json" if arguments.json else arguments.format](found), end="")
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from saturax.cost.calibrate import load_or_calibrate
    from saturax.cost.database import PriceDatabase
    from saturax.cost.device import calibration_table

    with _progress() as on_progress:
        on_progress("calibrate", "measuring this device")
        calibration = load_or_calibrate(PriceDatabase(), refresh=True)
    print(calibration.to_json() if arguments.json else calibration_table(calibration))
    return 0


if __name__ == "__main__":
    sys.exit(main())
