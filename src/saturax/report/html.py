"""A report as one HTML page without scripts or references: everything about one program.

What came out and why it is believed, the graph before and after, the rules, the kernels that the
predicted time goes to, the programs that were tried, and how the e-graphs grew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from saturax.graph.ir import Graph
from saturax.report.drawing import Drawing, draw_both
from saturax.report.model import IN_BODY, CandidateReport, Report, StageReport
from saturax.report.text import bytes_text, memory_lines, summary, time_text

_MOST_RULES, _MOST_KERNELS, _LONGEST_KERNEL = 40, 20, 110
_BAR_WIDTH, _BAR_HEIGHT = 420, 18


@dataclass(frozen=True)
class Law:
    """What a rule says: its equation, its class, and how it was checked or proved."""

    equation: str
    numerics: str
    status: str


_PROPOSAL = Law("a proposal: found by an algorithm that sees a whole group of operations", "", "")


def page(
    report: Report,
    graphs: tuple[Graph, Graph] | None = None,
    laws: Mapping[str, Law] | None = None,
) -> str:
    """The page of a report; with `graphs`, the program before and after is drawn."""
    sections = [
        _section("Result", _result(report)),
        _section("Program before and after", _graphs(report, graphs)),
        _section("Rules from the original to the result", _rules(report, laws or {})),
        _section("Where the predicted time goes", _kernels(report)),
        _section("Programs that were tried", _candidates(report.candidates)),
        _section("Growth of the e-graphs", _growth(report.stages)),
        _section("Stages", _stages(report)),
        _section("Options and versions", _settings(report)),
    ]
    style = files("saturax.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>saturax: {escape(report.program)}</title><style>{style}</style></head>\n"
        f"<body><header><h1>{escape(report.program)}</h1><p>{escape(summary(report))}</p>"
        f"</header>\n<main>{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>\n" if content else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table of escaped cells; its last `numbers` columns are aligned to the right."""
    first = len(header) - numbers

    def line(cells: Sequence[str], tag: str) -> str:
        classes = (' class="number"' if i >= first else "" for i in range(len(cells)))
        pairs = zip(cells, classes, strict=True)
        return f"<tr>{''.join(f'<{tag}{style}>{cell}</{tag}>' for cell, style in pairs)}</tr>"

    body = "".join(line(cells, "td") for cells in rows)
    return f"<table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table>"


def _result(report: Report) -> str:
    parts = []
    if report.speedup is not None:
        parts.append(f'<p class="speedup">{report.speedup:.2f}× <span>faster</span></p>')
    times = [
        (name, value, style)
        for name, value, style in (
            ("original, measured", report.original_us, "gone"),
            ("result, measured", report.optimized_us, "new"),
            ("original, kernels as predicted", report.predicted_original_us, "gone faint"),
            ("result, kernels as predicted", report.predicted_optimized_us, "new faint"),
        )
        if value is not None
    ]
    if times:
        parts.append(_bars([(name, v, time_text(v), style) for name, v, style in times]))
    facts = [f"device: {report.device}"] if report.device else []
    if report.reason:
        facts.append(f"why: {report.reason}")
    if report.priced_by:
        facts.append(f"prices: {report.priced_by}")
    if report.measured_on:
        facts.append(f"measured on: {report.measured_on}")
    if report.cached:
        facts.append(f"found in the cache, optimised {report.cached}")
    chosen = [c for c in report.candidates if c.outcome == "chosen"]
    facts += [_evidence(candidate) for candidate in chosen]
    if report.frozen is not None:
        frozen = report.frozen
        facts.append(
            f"frozen: {frozen.operations} operations are computed once, "
            f"{frozen.bytes_before / 1e6:.1f} MB become {frozen.bytes_after / 1e6:.1f} MB"
        )
    if report.memory is not None:
        facts += memory_lines(report.memory)
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    warnings = "".join(f'<p class="warning">{escape(each)}</p>' for each in report.warnings)
    return "".join(parts) + f"<ul>{items}</ul>" + warnings


def _evidence(chosen: CandidateReport) -> str:
    """Why the result is believed to be right and faster."""
    parts = []
    if chosen.largest_error is not None and chosen.original_error is not None:
        parts.append(
            f"checked against float64: error {chosen.largest_error:.2e}, the original's "
            f"{chosen.original_error:.2e}, allowed {chosen.allowed_error:.2e}"
        )
    if chosen.interval is not None:
        low, high = chosen.interval
        parts.append(f"timed interleaved: {chosen.ratio:.3f}× (95 % interval {low:.3f}–{high:.3f})")
    return "; ".join(parts) or "neither checked nor timed"


def _bars(rows: Sequence[tuple[str, float, str, str]]) -> str:
    """Horizontal bars: a name, a length, its text and a style each."""
    longest = max(value for _, value, _, _ in rows) or 1.0
    parts = []
    for index, (name, value, text, style) in enumerate(rows):
        y, width = index * (_BAR_HEIGHT + 6), max(1.0, _BAR_WIDTH * value / longest)
        parts.append(
            f'<text class="name" x="150" y="{y + 13}">{escape(name)}</text>'
            f'<rect class="bar {style}" x="160" y="{y}" width="{width:.1f}" '
            f'height="{_BAR_HEIGHT}"/>'
            f'<text x="{168 + width:.1f}" y="{y + 13}">{escape(text)}</text>'
        )
    height = len(rows) * (_BAR_HEIGHT + 6)
    return f'<svg class="bars" width="{_BAR_WIDTH + 280}" height="{height}">{"".join(parts)}</svg>'


def _graphs(report: Report, graphs: tuple[Graph, Graph] | None) -> str:
    counts = _table(
        ("operation", "before", "after"),
        [(escape(op), str(before), str(after)) for op, before, after in report.changes[:24]],
        numbers=2,
    )
    counts = counts if report.changes else ""
    if graphs is None or report.outcome != "optimized":
        return counts
    before, after = draw_both(*graphs)
    legend = (
        '<p class="legend"><span class="kept">kept</span><span class="gone">gone</span>'
        '<span class="new">new</span> hover over an operation for its attributes</p>'
    )
    figures = _figure("before", report.operations_before, before) + _figure(
        "after", report.operations_after, after
    )
    return f'{legend}<div class="pair">{figures}</div>{counts}'


def _figure(title: str, operations: int, drawing: Drawing) -> str:
    hidden = f", {drawing.hidden} not drawn" if drawing.hidden else ""
    caption = f"<figcaption>{title}: {operations} operations{hidden}</figcaption>"
    return f'<figure>{caption}<div class="scroll">{drawing.svg}</div></figure>'


def _rules(report: Report, laws: Mapping[str, Law]) -> str:
    if not report.rules:
        return ""
    rows = []
    for name, count in sorted(report.rules.items(), key=lambda item: (-item[1], item[0])):
        law = laws.get(name.removesuffix(IN_BODY), _PROPOSAL)
        cells = (str(count), f"<code>{escape(name)}</code>", escape(law.equation))
        rows.append((*cells, escape(law.numerics), escape(law.status)))
    header = ("times", "rule", "what it says", "class", "evidence")
    return _table(header, rows[:_MOST_RULES])


def _kernels(report: Report) -> str:
    if not report.kernels:
        return ""
    rows = [
        (
            f"<code>{escape(_shortened(kernel.kernel))}</code>",
            "measured" if kernel.is_measured else "modelled",
            time_text(kernel.price_us),
            str(kernel.before),
            str(kernel.after),
        )
        for kernel in report.kernels[:_MOST_KERNELS]
    ]
    header = ("kernel", "price", "each", "before", "after")
    left = len(report.kernels) - len(rows)
    more = f"<p>{left} more make a smaller difference.</p>" if left > 0 else ""
    return _table(header, rows, numbers=3) + more


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_KERNEL else text[:_LONGEST_KERNEL] + " …"


def _candidates(candidates: Sequence[CandidateReport]) -> str:
    if not candidates:
        return ""
    rows = []
    for each in candidates:
        error = "–" if each.largest_error is None else f"{each.largest_error:.1e}"
        ratio = "–" if each.ratio is None else f"{each.ratio:.3f}×"
        interval = "–" if each.interval is None else "{:.3f}–{:.3f}".format(*each.interval)
        predicted = "–" if each.predicted_us is None else time_text(each.predicted_us)
        measured = "–" if each.time_us is None else time_text(each.time_us)
        planned = each.planned_bytes
        memory = "–" if planned is None else bytes_text(planned)
        outcome = (
            f'<span class="outcome {each.outcome}">{escape(each.outcome or "not raced")}</span>'
        )
        rows.append(
            (
                escape(each.name),
                outcome,
                escape(each.reason),
                *(str(each.operations), memory, predicted, measured, ratio, interval, error),
            )
        )
    header = ("program", "outcome", "why", "operations", "memory", "predicted", "measured")
    return _table((*header, "speed-up", "95 % interval", "error"), rows, numbers=7)


def _growth(stages: Sequence[StageReport]) -> str:
    rounds = [stage for stage in stages if stage.name == "saturate" and "nodes" in stage.notes]
    if not rounds:
        return ""
    bars = [
        (
            f"search {number}",
            float(stage.notes["nodes"]),
            f"{stage.notes['nodes']} nodes in {stage.notes.get('classes', '?')} classes, "
            f"{stage.seconds:.2f} s, stopped by {stage.notes.get('stopped by', '?')}",
            "kept",
        )
        for number, stage in enumerate(rounds, 1)
    ]
    text = "Each search begins with the best program of the one before; loop bodies have their own."
    return f"<p>{text}</p>{_bars(bars[:_MOST_KERNELS])}"


def _stages(report: Report) -> str:
    rows = [
        (
            escape(stage.name),
            escape(", ".join(f"{name} {value}" for name, value in stage.notes.items()))[:300],
            f"{stage.seconds:.2f}",
        )
        for stage in report.stages
    ]
    rows.append(("<b>all</b>", "", f"<b>{report.seconds:.2f}</b>"))
    return _table(("stage", "notes", "seconds"), rows, numbers=1) if report.stages else ""


def _settings(report: Report) -> str:
    pairs = [*report.options.items(), *report.versions.items()]
    return _table(("name", "value"), [(escape(k), escape(str(v))) for k, v in pairs if v != "()"])
