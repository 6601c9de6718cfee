# Lists Mousetrap's commands: `make` alone prints them.
# Needs Python 3.11 or later (PYTHON=… names one) and pip's network, once.
.DEFAULT_GOAL := help
.PHONY: help demo weather up dev notebook docs test test-fast test-all test-browser chaos check bench lock sbom audit images stack stack-test stack-down

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "%-12s%s\n", $$1, $$2 }' Makefile

demo: .venv/.run  ## two runs of the example from start to end, on a stack of their own; then it is gone
	@.venv/bin/mousetrap demo

weather: .venv/.run  ## the second example, from start to end: a fan-out, a branch, a join, a schedule (docs/weather.md)
	@PYTHONPATH=development .venv/bin/python -m weather

up: .venv/.run  ## the same stack, left running until Ctrl-C
	@.venv/bin/mousetrap up

dev: .venv/.develop  ## that stack on RabbitMQ, to work beside: in containers, or a private node where no engine answers
	@tools/dev

notebook: .venv/.notebook  ## JupyterLab with the notebooks of development/, and a stack for them
	@tools/notebook

docs: .venv/.docs  ## the pages as a site in dist/site, with search; it fails for a link that leads nowhere
	@.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir development/site --builder html . dist/site
	@echo "open $(CURDIR)/dist/site/README.html"

# Tests wait more than they compute, so four processes share two cores; docs/decisions/0039 lists what runs where.
PROCESSES ?= 4
# A process that a hanging test has ended is not replaced: its group of tests would be waited for without end.
SIDE_BY_SIDE = -n $(PROCESSES) --dist loadgroup --max-worker-restart 0
# Tests start hundreds of processes: each would compile what it imports where Python keeps no bytecode.
test test-fast test-all: export PYTHONDONTWRITEBYTECODE =

test: .venv/.develop  ## all but the long tests, against real RabbitMQ and real Valkey
	@.venv/bin/python -m pytest $(SIDE_BY_SIDE) -m "not long" $(PYTEST)

test-fast: .venv/.develop  ## for each save: the tests that need no server and start no program; under a minute on two idle cores
	@.venv/bin/python -m pytest -n 2 --hypothesis-profile=fast -m "not servers and not slow and not long" $(PYTEST)

test-all: .venv/.develop  ## every test, the long ones too, as CI runs them; PYTEST="-m long" runs those alone
	@.venv/bin/python -m pytest $(SIDE_BY_SIDE) $(PYTEST)

test-browser: .venv/.develop  ## the dashboard in Chromium, which it installs where it can
	@tools/with-chromium .venv/bin/python -m pytest -n 2 --dist loadgroup test/browser $(PYTEST)

chaos: .venv/.develop  ## the chaos suite's long form: about an hour, its table goes into docs/guarantees.md
	@PYTHONPATH=test .venv/bin/python -m chaos $(CHAOS)

check: .venv/.develop  ## style, types, borders between bricks, brick lists and locks
	@tools/check

bench: .venv/.develop  ## us beside our peers on one broker; BENCH="--help" lists what can be chosen
	@PYTHONPATH=development:test .venv/bin/python -m benchmarks $(BENCH)

sbom:  ## what each deployable is made of, as CycloneDX, into dist/
	@mkdir -p dist && for project in projects/*/; do tools/sbom $$project > dist/$$(basename $$project).cdx.json; done && ls dist/*.cdx.json

audit:  ## known vulnerabilities of all that is locked, from osv.dev; a warning where it cannot be asked
	@tools/audit

images:  ## the images of the API, the workers and the command line
	@tools/stack build

stack:  ## the whole stack in containers, built and started; WITH="cluster offline" lays those files of deploy/ over it
	@tools/stack up

stack-test: .venv/.develop  ## that stack, killed and stopped on real containers, each run accounted for; about 5 minutes
	@tools/stack build
	@.venv/bin/python -m pytest test/stack $(PYTEST)

stack-down:  ## stops it; its data and secrets stay
	@tools/stack down

lock:  ## newest versions that pyproject.toml allows, for the workspace and each project
	@tools/lock --regenerate

.venv/.%: requirements/%.txt tools/environment
	@PYTHON="$(PYTHON)" tools/environment $*
