"""`saturax run`: an unchanged script or module, with every program that JAX compiles optimised."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from saturax.errors import OptionsError
from saturax.installation import Decision, Installation, uninstall

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

_OURS = (__name__, "runpy")


def run_script(target: str, arguments: Sequence[str], *, is_module: bool) -> int:
    """Run a Python file (or a module by name) as `python` would, with its own `sys.argv`.

    What the script raises is shown as `python` shows it; `SystemExit` goes through. The exit code
    is 1 then, 130 after Ctrl-C, and else 0.

    Raises:
        OptionsError: there is no such file.
    """
    if not is_module and not Path(target).is_file():
        raise OptionsError(f"expected a Python script, found no file {target}")
    before = sys.argv, sys.path[0]
    sys.argv = [target, *arguments]
    sys.path[0] = "" if is_module else str(Path(target).resolve().parent)
    try:
        if is_module:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(target, run_name="__main__")
    except (Exception, KeyboardInterrupt) as error:
        error = error.with_traceback(_without_ours(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    finally:
        sys.argv, sys.path[0] = before
        uninstall()
    return 0


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback from the script's first frame on."""
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in _OURS:
        traceback = traceback.tb_next
    return traceback


def decisions_json(installation: Installation) -> str:
    """What became of each program, as JSON."""
    return json.dumps([_plain(decision) for decision in installation.decisions], indent=2)


def _plain(decision: Decision) -> dict[str, Any]:
    report = None if decision.report is None else json.loads(decision.report.to_json())
    return {
        "program": decision.program,
        "operations": decision.operations,
        "reason": decision.reason,
        "is_pending": decision.is_pending,
        "report": report,
    }
