"""The report as a page: whole without references, escaped, and its drawings show what changed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import pytest
from running import matrix_chain
from test_report import _report

from saturax.command import cli
from saturax.report.drawing import MOST_OPERATIONS, draw_both
from saturax.report.html import Law, page
from saturax.report.model import KernelReport, Report, StageReport
from saturax.stablehlo import import_module, to_text


class _Checker(HTMLParser):
    """Fails where elements are not nested properly; collects the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        assert not {"src", "href"} & dict(attrs).keys()
        if tag not in ("meta", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(html):
    checker = _Checker()
    checker.feed(html)
    assert checker.open == []
    return " ".join(" ".join(checker.text).split())


def graph_of(function, *arguments):
    return import_module(jax.jit(function).lower(*arguments).compiler_ir("stablehlo")).graph


X = jnp.ones((4, 4))


def boxes(svg):
    """Style and name of each operation that is drawn."""
    found = []
    for group in ElementTree.fromstring(svg).iter("g"):
        found.append((group.get("class").split()[0], group.find("text").text))
    return sorted(found)


def test_page_tells_all():
    report = _report()
    report.kernels = [KernelReport("dot_general(4x4)", 12.5, True, 2, 1)]
    report.stages = [StageReport("saturate", 0.5, {"nodes": 123, "classes": 45})]
    laws = {"merge_transposes": Law("(xᵖ)ᑫ = x^(p∘q)", "bitwise", "proved")}
    text = text_of(page(report, laws=laws))
    for part in (
        "2.00× faster",
        "checked against float64: error 1.00e-07, the original's 2.00e-07, allowed 1.00e-06",
        "timed interleaved: 2.000× (95 % interval 1.900–2.100)",
        "dot_general 2 1",
        "3 merge_transposes (xᵖ)ᑫ = x^(p∘q) bitwise proved",
        "1 associate_dot_right a proposal",
        "dot_general(4x4) measured 12.5 µs 2 1",
        "varied 1 failed XLA says no",
        "123 nodes in 45 classes",
        "interrupted",
    ):
        assert part in text


def test_text_is_escaped():
    html = page(_report(program="<b>&", warnings=["<script>alert(1)</script>"]))
    assert "<script" not in html
    assert "&lt;b&gt;&amp;" in html
    text_of(html)


def test_page_of_an_empty_report():
    text = text_of(page(Report("model", reason="the time limit is 0")))
    assert "the time limit is 0" in text
    assert "Programs that were tried" not in text


def test_drawings_show_what_changed():
    before = graph_of(lambda x: jnp.exp(jnp.tanh(x).T.T @ x), X)
    after = graph_of(lambda x: jnp.exp(jnp.sin(x) @ x), X)
    left, right = draw_both(before, after)
    assert ("gone", "tanh") in boxes(left.svg)
    assert ("gone", "transpose") in boxes(left.svg)
    assert ("new", "sine") in boxes(right.svg)
    assert ("kept", "dot_general") in boxes(left.svg)
    assert ("kept", "exponential") in boxes(right.svg)
    assert left.hidden == right.hidden == 0
    assert not [box for box in boxes(right.svg) if box[0] == "gone"]


def test_second_use_of_an_operation_counts():
    left, right = draw_both(
        graph_of(lambda x: (x @ x) @ (x @ x.T), X), graph_of(lambda x: x @ x @ x, X)
    )
    assert boxes(left.svg).count(("gone", "dot_general")) == 1
    assert all(style == "kept" for style, _ in boxes(right.svg))


def test_large_graphs_show_what_changed():
    def deep(last):
        def function(x):
            for _ in range(MOST_OPERATIONS):
                x = jnp.sin(x @ x)
            return last(x)

        return graph_of(function, X)

    left, right = draw_both(deep(jnp.tanh), deep(jnp.log))
    assert ("gone", "tanh") in boxes(left.svg)
    assert ("new", "log") in boxes(right.svg)
    assert left.hidden > MOST_OPERATIONS


def test_boxes_of_a_row_do_not_overlap():
    left, _ = draw_both(
        graph_of(lambda x: jnp.tanh(x) + jnp.exp(x) * jnp.sin(x), X), graph_of(jnp.sin, X)
    )
    found = [
        tuple(float(r.get(k)) for k in ("x", "y", "width"))
        for r in ElementTree.fromstring(left.svg).iter("rect")
    ]
    for x, y, width in found:
        assert not [b for b in found if b[1] == y and x < b[0] < x + width]


@pytest.mark.parametrize("is_written", [True, False])
def test_explain_writes_the_page(tmp_path, capsys, is_written):
    function, arguments = matrix_chain(64)
    source = tmp_path / "in.mlir"
    source.write_text(to_text(jax.jit(function).lower(*arguments).compiler_ir("stablehlo")))
    target = tmp_path / "report.html"
    command = ["explain", str(source), "--no-measure", "--time-limit", "4"]
    assert cli.main([*command, "--html", str(target)] if is_written else command) == 0
    assert "rules that lead" in capsys.readouterr().out
    assert target.exists() == is_written
    if is_written:
        html = target.read_text()
        assert html.count("<svg") >= 3
        assert "order_contractions" in text_of(html)
        assert re.search(r"dot_general\(.*</code>", html)
