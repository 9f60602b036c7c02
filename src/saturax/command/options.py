"""The options of an optimisation on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from saturax.cost.published import DEVICES
from saturax.options import NUMERICS, OBJECTIVES, Options
from saturax.search.effort import EFFORTS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command's parser."""
    default = Options()
    parser.add_argument(
        "--numerics",
        choices=NUMERICS,
        default=default.numerics,
        help="least strict class of rules to use (default: %(default)s)",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=default.time_limit_s,
        metavar="SECONDS",
        help="for everything but XLA's compilations (default: %(default)s)",
    )
    parser.add_argument(
        "--effort",
        choices=list(EFFORTS),
        default=default.effort,
        help="what the stages may take within the time limit (default: %(default)s)",
    )
    parser.add_argument(
        "--candidates",
        type=int,
        default=default.candidates,
        help="programs to time in the first race (default: %(default)s)",
    )
    parser.add_argument(
        "--no-measure", action="store_true", help="run nothing: choose by predicted time"
    )
    parser.add_argument(
        "--memory-limit",
        type=int,
        metavar="BYTES",
        help="peak memory that the chosen program may need",
    )
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default=default.objective,
        help="what the chosen program is to need least of (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="choose for a device that is not here, by prediction (with --no-measure): "
        f"{', '.join(DEVICES)}, or part of the key of one whose prices were imported",
    )
    parser.add_argument("--database", type=Path, help="file of measured prices")
    parser.add_argument(
        "--no-cache", action="store_true", help="optimise anew, also what was optimised before"
    )


def options_of(arguments: argparse.Namespace) -> Options:
    """What was given on the command line."""
    return Options(
        numerics=arguments.numerics,
        time_limit_s=arguments.time_limit,
        effort=arguments.effort,
        candidates=arguments.candidates,
        measure=not arguments.no_measure,
        database=arguments.database,
        memory_limit_bytes=arguments.memory_limit,
        objective=arguments.objective,
        device=arguments.device,
        cache=not arguments.no_cache,
    )
