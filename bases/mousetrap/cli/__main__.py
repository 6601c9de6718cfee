"""Runs `mousetrap` as `python -m mousetrap.cli`."""

import sys

from mousetrap.cli import main

sys.exit(main())
