"""docs/other-frameworks.md: its code and commands are run, section by section, as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[1] / "docs" / "other-frameworks.md"
_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FAST = ["--no-measure", "--time-limit", "4"]
_EQUAL = "\nimport numpy as np\nequal = lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5)\n"


def _script(section: str) -> str:
    """The blocks of code under a heading of the page; commands are called as functions."""
    sections = re.split(r"^## (.*)\n", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = []
    for language, text in _BLOCK.findall(sections[sections.index(section) + 1]):
        if language == "python":
            parts.append(text)
            continue
        for command in text.splitlines():
            program, *arguments = shlex.split(command)
            assert program == "saturax"
            parts.append("from saturax.command import cli\n")
            parts.append(f"assert cli.main({arguments + _FAST}) == 0\n")
    assert parts
    return "".join(parts)


def _run(section: str, check: str, folder: Path) -> None:
    """Run a section, then the check, in a process of its own: frameworks settle things globally."""
    path = os.pathsep.join(part for part in sys.path if part)
    subprocess.run(
        [sys.executable, "-c", _script(section) + _EQUAL + check],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        check=True,
        timeout=300,
    )


def _needs(*packages: str, remedy: str) -> pytest.MarkDecorator:
    missing = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(packages)}: {remedy}")


@_needs("torch", "torchax", remedy="pip install '.[torch]'")
def test_pytorch(tmp_path):
    check = """
expected = model(x).detach().numpy()
assert Path("fast.jax").read_bytes() != Path("model.jax").read_bytes()
equal(y, expected)
equal(z, expected)
from running import PREDICTED, run
optimized = saturax.optimize_module(exported.mlir_module(), options=PREDICTED)
assert optimized.report.outcome == "optimized", optimized.report.reason
leaves = jax.tree.leaves((weights, x.numpy()))
inputs = [leaves[i] for i in exported.module_kept_var_idx]
equal(run(optimized.program, inputs)[0], expected)
"""
    _run("PyTorch", check, tmp_path)


@_needs("keras", remedy="pip install '.[bench]'")
def test_keras_with_the_jax_backend(tmp_path):
    check = "equal(y, model(x, training=False))\n"
    _run("Keras with the JAX backend", check, tmp_path)


@_needs("tensorflow", remedy="pip install tensorflow-cpu")
def test_tensorflow(tmp_path):
    check = """
assert Path("fast.mlirbc").read_bytes() != Path("model.mlirbc").read_bytes()
equal(y, model(x, training=False))
"""
    _run("TensorFlow, and Keras with its backend", check, tmp_path)
