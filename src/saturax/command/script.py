"""`saturax run`: an unchanged script or module, with every program that JAX compiles optimised."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saturax.errors import OptionsError
from saturax.installation import Decision, Installation, uninstall


def run_script(target: str, arguments: Sequence[str], *, is_module: bool) -> None:
    """Run a Python file (or a module by name) as `python` would, with its own `sys.argv`.

    What the script raises goes through, `SystemExit` included.

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
    finally:
        sys.argv, sys.path[0] = before
        uninstall()


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
