"""Tests that the names in the catalogue can be imported."""

import subprocess
import sys

import pytest

from mousetrap import catalogue
from mousetrap.catalogue_entries import load

NAMES = [
    *(binder for worker in catalogue.WORKERS.values() for binder in worker.binders),
    *catalogue.INPUTS.values(),
    *catalogue.RENDERERS.values(),
    *catalogue.MIGRATIONS.values(),
    *catalogue.RECORDS.values(),
    *([catalogue.SAMPLE] if catalogue.SAMPLE else []),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_to_something_that_can_be_called(name: str) -> None:
    assert callable(load(name))


def test_what_is_listed_by_pipeline_is_of_a_pipeline_that_there_is() -> None:
    listed = {
        *catalogue.INPUTS,
        *catalogue.RECORDS,
        *catalogue.RENDERERS,
        *filter(None, [catalogue.ROOT_PIPELINE]),
    }

    assert listed <= set(catalogue.PIPELINES)


def test_the_catalogue_loads_no_worker_and_no_library_of_one() -> None:
    code = "import sys, mousetrap.catalogue; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    loaded = set(done.stdout.split())
    unwanted = {"polars", "sqlalchemy", "httpx", "rich", "mousetrap.worker", "mousetrap.handlers"}
    assert unwanted & loaded == set()
