"""Testing rewrite rules on random well-typed instances: for saturax's rules and for users' own.

from saturax.testing import check
check(my_rule).raise_if_failed()
"""

from saturax.testing.check import Distribution, RuleReport, check
from saturax.testing.instances import Instance, instances
from saturax.testing.values import Evidence

__all__ = ["Distribution", "Evidence", "Instance", "RuleReport", "check", "instances"]
