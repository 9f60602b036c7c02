"""`python -m saturax`: the command line."""

import sys

from saturax.command.cli import main

sys.exit(main())
