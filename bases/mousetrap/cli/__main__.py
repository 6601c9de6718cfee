"""Lets `python -m mousetrap.cli` be `mousetrap`."""

import sys

from mousetrap.cli import main

sys.exit(main())
