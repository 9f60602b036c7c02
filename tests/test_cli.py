"""The command line: files in and out, JSON, exit codes and errors of one paragraph."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest
import rich.console
from running import assert_equal, matrix_chain, run

import saturax
from saturax import pipeline
from saturax import run as running_state
from saturax.command import cli
from saturax.stablehlo import Form, import_module, read, to_bytecode, to_portable_artifact, to_text

_FUNCTION, _ARGUMENTS = matrix_chain(64)
_SUFFIX = {
    Form.TEXT: "mlir",
    Form.BYTECODE: "mlirbc",
    Form.PORTABLE_ARTIFACT: "stablehlo",
    Form.JAX_EXPORT: "jax",
}
_FAST = ("--no-measure", "--time-limit", "4")


def _stored(form):
    module = jax.jit(_FUNCTION).lower(*_ARGUMENTS).compiler_ir("stablehlo")
    match form:
        case Form.TEXT:
            return to_text(module).encode()
        case Form.BYTECODE:
            return to_bytecode(module)
        case Form.PORTABLE_ARTIFACT:
            return to_portable_artifact(module)
    return bytes(jax.export.export(jax.jit(_FUNCTION))(*_ARGUMENTS).serialize())


@pytest.fixture
def program_file(tmp_path):
    path = tmp_path / "in.mlir"
    path.write_bytes(_stored(Form.TEXT))
    return path


@pytest.mark.parametrize("form", Form)
def test_optimize_writes_the_form_that_it_read(form, tmp_path, capsys):
    source, target = tmp_path / f"in.{_SUFFIX[form]}", tmp_path / f"out.{_SUFFIX[form]}"
    source.write_bytes(_stored(form))
    assert cli.main(["optimize", str(source), "-o", str(target), *_FAST]) == 0
    assert read(target.read_bytes()).form is form
    program = import_module(target.read_bytes())
    assert program.graph != import_module(_stored(form)).graph
    assert_equal(run(program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])
    out, err = capsys.readouterr()
    assert out == ""
    assert "optimized" in err
    assert "warning: chosen by prediction" in err
    assert sorted(tmp_path.iterdir()) == sorted([source, target])


def test_optimised_export_can_be_called(tmp_path):
    source, target = tmp_path / "in.jax", tmp_path / "out.jax"
    source.write_bytes(_stored(Form.JAX_EXPORT))
    assert cli.main(["optimize", str(source), "-o", str(target), *_FAST]) == 0
    exported = jax.export.deserialize(bytearray(target.read_bytes()))
    assert_equal([exported.call(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])


def test_text_goes_to_standard_output(program_file, capsys):
    assert cli.main(["optimize", str(program_file), *_FAST]) == 0
    out, err = capsys.readouterr()
    assert_equal(run(import_module(out), _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])
    assert "optimized" in err


def test_measured_optimisation_in_json(program_file, tmp_path, capsys):
    target = tmp_path / "out.mlir"
    arguments = ["optimize", str(program_file), "-o", str(target), "--time-limit", "1", "--json"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["outcome"] in ("optimized", "original")
    assert target.exists()


def test_json_without_output_prints_only_the_report(program_file, capsys):
    assert cli.main(["optimize", str(program_file), "--json", *_FAST]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "optimized"


def test_time_limit_of_zero_copies_the_program(program_file, capsys):
    assert cli.main(["optimize", str(program_file), "--time-limit", "0"]) == 0
    out, err = capsys.readouterr()
    assert import_module(out).graph == import_module(program_file.read_bytes()).graph
    assert "the time limit is 0" in err


def test_explain(program_file, capsys):
    assert cli.main(["explain", str(program_file), *_FAST]) == 0
    out = capsys.readouterr().out
    assert "rules that lead from the original" in out
    assert "order_contractions" in out
    assert cli.main(["explain", str(program_file), "--json", *_FAST]) == 0
    assert json.loads(capsys.readouterr().out)["rules"]


def test_rules(capsys):
    assert cli.main(["rules"]) == 0
    text = capsys.readouterr().out
    assert cli.main(["rules", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert text.rstrip().endswith(f"{len(rows)} rules")
    assert all(row[key] for row in rows for key in ("name", "family", "numerics", "equation"))


def test_calibrate(monkeypatch, capsys):
    """Measures anew (here: pretends to) and stores the result."""
    from saturax.cost import calibrate as module
    from saturax.cost import device

    calls = []

    def calibrate(*args, **kwargs):
        calls.append(kwargs)
        return device.default_calibration()

    monkeypatch.setattr(module, "calibrate", calibrate)
    assert cli.main(["calibrate"]) == 0
    assert "bandwidth_gb_s" in capsys.readouterr().out
    assert cli.main(["calibrate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["call_overhead_us"]
    assert len(calls) == 2


def test_demo(capsys, monkeypatch):
    from saturax.command import demo

    monkeypatch.setattr(demo, "mobilenet_v2", lambda layers, image: image.sum() * 2)
    monkeypatch.setattr(demo, "parameters", lambda: [])
    assert cli.main(["demo", "--time-limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"no MLIR at all", "expected a StableHLO module"),
        (b"\xff\xfe\x00\x01", "none of them"),
        (b"module {}", "main"),
        (
            b"func.func public @main(%a: tensor<?xf32>) -> tensor<?xf32> "
            b"{ return %a : tensor<?xf32> }",
            "known at compile time",
        ),
    ],
)
@pytest.mark.parametrize("command", ["optimize", "explain"])
def test_wrong_input_is_one_paragraph(command, content, message, tmp_path, capsys):
    path = tmp_path / "in.mlir"
    if content is not None:
        path.write_bytes(content)
    assert cli.main([command, str(path), *_FAST]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("saturax: error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time-limit", "-1"], "time_limit_s: expected a number of at least 0"),
        (["--candidates", "0"], "candidates: expected an integer of at least 1"),
    ],
)
def test_wrong_option_values(arguments, message, program_file, capsys):
    assert cli.main(["optimize", str(program_file), *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["optimise"], ["optimize"], ["optimize", "x", "--numerics", "exact"]]
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: saturax" in capsys.readouterr().err


def _refuse(*args, **kwargs):
    raise AssertionError("time was spent although the output cannot be written")


def test_unwritable_output_is_found_first(program_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "optimize_program", _refuse)
    for target in (tmp_path, tmp_path / "no" / "folder" / "out.mlir"):
        assert cli.main(["optimize", str(program_file), "-o", str(target)]) == 1
        assert str(target.name) in capsys.readouterr().err


def test_failure_leaves_the_old_output(program_file, tmp_path, monkeypatch, capsys):
    target = tmp_path / "out.mlir"
    target.write_text("old")
    from saturax import stablehlo

    def fail(*args):
        raise saturax.SaturaxError("cannot be expressed")

    monkeypatch.setattr(stablehlo, "write", fail)
    assert cli.main(["optimize", str(program_file), "-o", str(target), *_FAST]) == 1
    assert target.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == sorted([program_file, target])


def test_interruption_before_there_is_a_result(program_file, tmp_path, monkeypatch, capsys):
    from saturax import stablehlo

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(stablehlo, "import_module", interrupt)
    target = tmp_path / "out.mlir"
    assert cli.main(["optimize", str(program_file), "-o", str(target)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(("stage", "is_written"), [("saturate", False), ("refine", True)])
def test_interruption_of_the_search_writes_what_is_better(
    program_file, tmp_path, monkeypatch, capsys, stage, is_written
):
    begin = running_state.Run.stage

    def interrupt(self, name):
        if name == stage:
            raise KeyboardInterrupt
        return begin(self, name)

    monkeypatch.setattr(running_state.Run, "stage", interrupt)
    target = tmp_path / "out.mlir"
    options = ["--time-limit", "10", "--candidates", "2", "--no-cache"]
    assert cli.main(["optimize", str(program_file), "-o", str(target), *options]) == 130
    assert target.exists() == is_written
    told = "the best program found until then" if is_written else "nothing was written"
    assert told in capsys.readouterr().err


def test_output_into_a_missing_folder(program_file, tmp_path, capsys):
    target = tmp_path / "none" / "out.mlir"
    assert cli.main(["optimize", str(program_file), "-o", str(target), *_FAST]) == 1
    assert capsys.readouterr().err == (
        f"saturax: error: cannot write {target}: there is no folder {target.parent}\n"
    )


def test_options_are_looked_at_before_the_file(tmp_path, capsys):
    assert cli.main(["optimize", str(tmp_path / "none.mlir"), "--time-limit", "-1"]) == 1
    assert "time_limit_s: expected" in capsys.readouterr().err


def test_python_files_are_for_other_commands(tmp_path, capsys):
    for command, told in (("optimize", "saturax run"), ("bench", "say which function")):
        assert cli.main([command, str(tmp_path / "step.py")]) == 1
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [("ValueError('mine')", 1), ("KeyboardInterrupt", 130)])
def test_what_a_script_raises_is_shown_as_python_shows_it(tmp_path, capsys, error, code):
    script = tmp_path / "script.py"
    script.write_text(f"raise {error}\n")
    assert cli.main(["run", str(script)]) == code
    expected = f'Traceback (most recent call last):\n  File "{script}", line 1, in <module>\n'
    shown = capsys.readouterr().err
    assert shown.startswith(expected)
    assert len(shown.splitlines()) == 4  # and no empty table


def test_binary_program_is_not_sent_to_a_terminal(tmp_path, monkeypatch, capsys):
    source = tmp_path / "in.mlirbc"
    source.write_bytes(_stored(Form.BYTECODE))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["optimize", str(source), *_FAST]) == 1
    assert "-o FILE" in capsys.readouterr().err


def _command(*arguments, **options):
    source = str(Path(saturax.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    return subprocess.run(
        [sys.executable, "-m", "saturax", *arguments],
        env=environment, capture_output=True, check=False, **options,
    )  # fmt: skip


def test_pipe_of_bytecode():
    """A process of its own: standard input, standard output, no terminal and so no progress."""
    done = _command("optimize", "-", *_FAST, input=_stored(Form.BYTECODE))
    assert done.returncode == 0, done.stderr
    assert read(done.stdout).form is Form.BYTECODE
    assert_equal(run(import_module(done.stdout), _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])
    assert b"\x1b" not in done.stderr
    assert len(done.stderr.decode().splitlines()) == 2  # the summary and a warning


def test_progress_is_shown_on_a_terminal(monkeypatch):
    shown = io.StringIO()
    console = rich.console.Console
    monkeypatch.setattr(
        "rich.console.Console",
        lambda stderr: console(file=shown, force_terminal=True, width=80),
    )
    with cli._progress() as on_progress:
        on_progress("price", "measuring 3 operations")
    assert np.char.count(shown.getvalue(), "\x1b") > 0
