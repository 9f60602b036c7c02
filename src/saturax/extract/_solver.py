"""Solver process: reads linear programs from stdin, writes solutions to stdout, until stdin ends.

Run as a script (it must not import the rest of saturax, which would import jax). A frame is an
8-byte length and a pickle. Every improved solution is sent at once, so that a process killed in
the middle has already handed over its best; a frame with `final` ends the answer.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from typing import Any, BinaryIO

# A process whose owner died must not go on forever: it ends itself this long after its limit.
_SELF_DESTRUCT_S = 10.0


def main() -> None:
    """Answer requests until stdin is closed."""
    source = sys.stdin.buffer
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever the solver prints
    while (request := read_frame(source)) is not None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, request["time_limit_s"] + _SELF_DESTRUCT_S)
        try:
            reply = solve(request, sink)
        except Exception as error:  # the owner decides; a traceback would go nowhere
            reply = {"final": True, "status": "error", "reason": f"{error!r}"}
        write_frame(sink, reply)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)


def read_frame(source: BinaryIO) -> dict[str, Any] | None:
    """Next frame, or None at the end of the stream."""
    head = source.read(8)
    if len(head) < 8:
        return None
    size = struct.unpack("<Q", head)[0]
    body = source.read(size)
    return pickle.loads(body) if len(body) == size else None


def write_frame(sink: BinaryIO, content: dict[str, Any]) -> None:
    """Send one frame."""
    body = pickle.dumps(content, protocol=5)
    sink.write(struct.pack("<Q", len(body)) + body)
    sink.flush()


def solve(request: dict[str, Any], sink: BinaryIO) -> dict[str, Any]:
    """Minimise; `start` (if any) is a feasible point to begin with, `integer` marks columns."""
    import highspy
    import numpy as np

    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("time_limit", float(request["time_limit_s"])),
        ("mip_rel_gap", 1e-9),
        ("mip_abs_gap", 0.0),
        ("mip_max_nodes", int(request["node_limit"])),
        *(() if request["use_heuristics"] else (("mip_heuristic_effort", 0.0),)),
    ):
        solver.setOptionValue(option, value)
    program = highspy.HighsLp()
    program.num_col_ = len(request["cost"])
    program.num_row_ = len(request["row_lower"])
    program.col_cost_ = request["cost"]
    program.col_lower_ = request["lower"]
    program.col_upper_ = request["upper"]
    program.row_lower_ = request["row_lower"]
    program.row_upper_ = request["row_upper"]
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = request["row_start"]
    program.a_matrix_.index_ = request["column"]
    program.a_matrix_.value_ = request["value"]
    is_integer = bool(request["integer"].any())
    if is_integer:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        program.integrality_ = [kinds[flag] for flag in request["integer"].tolist()]
    solver.passModel(program)
    if request["start"] is not None:
        start = highspy.HighsSolution()
        start.col_value = request["start"]
        solver.setSolution(start)

    def send_improvement(event: Any) -> None:
        values = np.asarray(event.data_out.mip_solution)
        bound = float(event.data_out.mip_dual_bound)
        write_frame(sink, {"final": False, "values": values, "bound_us": bound})

    if is_integer:
        solver.cbMipImprovingSolution.subscribe(send_improvement)
    solver.run()
    info = solver.getInfo()
    status = solver.getModelStatus()
    names = {
        highspy.HighsModelStatus.kOptimal: "optimal",
        highspy.HighsModelStatus.kInfeasible: "infeasible",
        highspy.HighsModelStatus.kTimeLimit: "time limit",
        highspy.HighsModelStatus.kSolutionLimit: "node limit",
    }
    has_point = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    name = names.get(status, solver.modelStatusToString(status))
    bound = info.mip_dual_bound if is_integer else info.objective_function_value
    return {
        "final": True,
        "status": name,
        "values": np.asarray(solver.getSolution().col_value) if has_point else None,
        "bound_us": float(bound) if is_integer or name == "optimal" else None,
        "work": int(info.simplex_iteration_count),
    }


if __name__ == "__main__":
    main()
