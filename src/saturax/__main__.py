"""`python -m saturax`: the command line."""

import sys

from saturax.cli import main

sys.exit(main())
