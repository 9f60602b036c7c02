"""Ablations leave out what they say, and their figures are relative to the whole."""

from __future__ import annotations

from benchmarks.ablations import MEASURED, ablate, parts_of, segments_of, table, without
from benchmarks.worker import Task

from saturax import Report, proposals
from saturax.rules import families
from saturax.search import outline, partition


def test_parts_are_families_and_proposals():
    report = Report("f", rules={"merge_contractions": 2, "merge_transposes": 1, "proposal": 1})
    assert parts_of(report) == ["merge_contractions", "layout"]


def test_a_part_is_left_out():
    variant = without("merge_contractions")
    with variant.patch():
        assert "merge_contractions" not in proposals.PROPOSALS
    assert "merge_contractions" in proposals.PROPOSALS
    variant = without("layout")
    assert set(families()) - set(variant.options["rules"]) == {"layout"}


def test_patches_find_their_targets():
    for variant in MEASURED:
        with variant.patch():
            pass
    with segments_of(2.0)():
        assert outline.partition is not partition.partition
    assert outline.partition is partition.partition


def test_variants_of_a_workload():
    task = Task("kan2", "arguments", {"time_limit_s": 1.0}, is_reduced=True, budget_s=0.1)
    found = ablate(task, ("rules", "extraction"))
    names = {variant["name"]: variant for variant in found["variants"]}
    assert {"greedy", "one candidate", "no variation by measuring"} <= set(names)
    assert names["greedy"]["problem"] == ""
    low, high = names["greedy"]["interval"]
    assert low <= names["greedy"]["ratio"] <= high
    assert all(v["ratio"] > 0.5 for v in found["variants"] if v["is_predicted"])


def test_table_has_means_and_the_worst():
    def row(workload, ratio):
        variant = {"group": "effort", "name": "3 s", "ratio": ratio}
        return {"workload": workload, "variants": [variant]}

    text = table([row("a", 1.0), row("b", 4.0), {"workload": "c"}])
    assert "| effort | 3 s | measured | 2 | 2.00× | 4.00× b |" in text
