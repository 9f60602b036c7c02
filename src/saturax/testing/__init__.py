"""Testing rewrite rules on random well-typed instances: for saturax's rules and for users' own.

from saturax.testing import check
check(my_rule).raise_if_failed()
"""

from saturax.testing.check import RuleReport, check
from saturax.testing.instances import Instance, instances

__all__ = ["Instance", "RuleReport", "check", "instances"]
