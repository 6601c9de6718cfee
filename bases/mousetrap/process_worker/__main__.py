"""Runs the process worker: python -m mousetrap.process_worker."""

import sys

from mousetrap.process_worker import main

sys.exit(main())
