"""Creates the API of the catalogue, as its program does."""

from fastapi import FastAPI

from mousetrap.api import create_app
from mousetrap.catalogue import INPUTS, PIPELINES, RECORDS, ROOT_PIPELINE
from mousetrap.catalogue_entries import load
from mousetrap.settings import Settings


def catalogue_app(settings: Settings) -> FastAPI:
    """The API of all pipelines."""
    inputs = {name: load(function)(settings) for name, function in INPUTS.items()}
    # Without an environment the record would be a file of the folder in which the tests run.
    records = {} if settings.others is None else RECORDS
    return create_app(settings, PIPELINES, inputs=inputs, records=records, root=ROOT_PIPELINE)
