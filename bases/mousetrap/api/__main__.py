"""Runs the API: `python -m mousetrap.api`."""

import sys

from mousetrap.api import main

sys.exit(main())
