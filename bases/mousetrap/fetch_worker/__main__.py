"""Runs the fetch worker: python -m mousetrap.fetch_worker."""

import sys

from mousetrap.fetch_worker import main

sys.exit(main())
