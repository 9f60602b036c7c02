"""The table of rules: docs/rules.md is current, and `saturax rules` filters it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saturax.catalogue import COMMAND, Row, as_markdown, as_text, rows
from saturax.command.cli import main
from saturax.rules import all_rules
from saturax.testing.evidence import FAILED, RECORD, UNRECORDED, recorded

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(rows()), f"run: {COMMAND}"


def test_every_rule_has_a_recorded_status() -> None:
    known = recorded()
    missing = [rule.name for rule in all_rules() if rule.name not in known]
    assert not missing, f"run: python -m saturax.testing.evidence --missing; missing: {missing}"
    assert FAILED not in known.values()


def test_record_holds_no_rule_that_is_gone() -> None:
    assert set(json.loads(RECORD.read_text(encoding="utf-8"))) <= {r.name for r in all_rules()}


def test_filters() -> None:
    found = rows(families=["layout"], numerics="bitwise", match="transpose")
    assert found
    assert all(row.family == "layout" and "transpose" in row.name + row.equation for row in found)
    assert rows(match="no such text") == []


def test_cells_do_not_break_the_table() -> None:
    row = Row("absolute", "elementwise", "bitwise", "|x| = x", "algebra", UNRECORDED)
    lines = as_markdown([row]).splitlines()
    assert lines[-1] == ("| `absolute` | \\|x\\| = x | bitwise | algebra | not recorded |")


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--family", "layout", "--match", "merge_transposes"]) == 0
    assert capsys.readouterr().out == as_text(rows(families=["layout"], match="merge_transposes"))
    assert main(["rules", "--format", "json", "--numerics", "finite"]) == 0
    assert {row["numerics"] for row in json.loads(capsys.readouterr().out)} <= {"finite"}
    assert main(["rules", "--family", "nothing"]) == 1
    assert "no such family: nothing; there are " in capsys.readouterr().err
