"""The proof status of every rule, recorded in a file that comes with saturax.

`python -m saturax.testing.evidence` checks each rule and tries to prove it (with z3, where that is
installed), and writes the file; reports and the documentation read it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from saturax.rules import all_rules
from saturax.rules.rule import Numerics, Rule
from saturax.testing.check import RuleReport, check
from saturax.testing.values import Evidence

RECORD = Path(__file__).with_name("evidence.json")
UNRECORDED, FAILED = "not recorded", "FAILED"

PROVED, EXACT, BITWISE, SAMPLED = (
    "proved (z3)",
    "exact (ℤ, ℤ/p)",
    "sampled bitwise",
    "sampled over the reals",
)
_INSTANCES, _WRITTEN_AT_ONCE = 40, 25


def status(rule: Rule, report: RuleReport, proof: str) -> str:
    """How well a rule is supported, strongest first, separated by semicolons.

    `proof` says for which element types z3 proved it (see `saturax.testing.smt.Proof`); empty: for
    none.
    """
    found = [f"{PROVED}: {proof}"] if proof else []
    evidence = report.evidence
    on_reals = evidence[Evidence.REALS]
    if evidence[Evidence.FIELD] or (
        evidence[Evidence.INTEGERS] and rule.numerics != Numerics.BITWISE
    ):
        # On floats, part of the instances may have operations that only the reals have.
        found.append(EXACT)
    if evidence[Evidence.BITS] or (rule.numerics == Numerics.BITWISE and not proof):
        found.append(BITWISE)
    if on_reals > evidence[Evidence.FIELD]:
        found.append(SAMPLED)
    return "; ".join(found) or SAMPLED


def recorded() -> Mapping[str, str]:
    """The recorded status of each rule, by name."""
    if not RECORD.exists():
        return {}
    found: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def record(rules: Sequence[Rule], time_limit_s: float) -> dict[str, str]:
    """Check and prove rules, each within a limit; tell of it on standard error."""
    found: dict[str, str] = {}
    for rule in rules:
        report = check(rule, count=_INSTANCES)
        failed = report.failures
        text = FAILED if failed else status(rule, report, _proof(rule, time_limit_s))
        found[rule.name] = text
        print(f"{rule.family}.{rule.name}: {found[rule.name]}", file=sys.stderr)
    return found


def _proof(rule: Rule, time_limit_s: float) -> str:
    if find_spec("z3") is None:
        return ""
    from saturax.testing.smt import prove

    proof = prove(rule, time_limit_s=time_limit_s)
    return str(proof) if proof.proved else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0, help="for the proof of one rule")
    parser.add_argument(
        "--missing", action="store_true", help="only rules that have none yet, or failed"
    )
    options = parser.parse_args(arguments)
    known = dict(recorded()) if options.missing else {}
    names = {rule.name for rule in all_rules()}
    rules = [rule for rule in all_rules() if known.get(rule.name, FAILED) == FAILED]
    kept: dict[str, str] = {}
    # Written now and then, so that `--missing` can go on after an interruption.
    for first in range(0, max(len(rules), 1), _WRITTEN_AT_ONCE):
        known |= record(rules[first : first + _WRITTEN_AT_ONCE], options.seconds)
        kept = {name: text for name, text in sorted(known.items()) if name in names}
        RECORD.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    counts = Counter(part.partition(":")[0] for text in kept.values() for part in text.split("; "))
    print(f"{len(kept)} rules: " + ", ".join(f"{n} {text}" for text, n in counts.most_common()))


if __name__ == "__main__":
    main()
