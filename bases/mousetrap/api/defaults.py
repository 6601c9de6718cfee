"""Says what an empty body means where a setting says more than the pipeline's contract."""

from collections.abc import Mapping

import msgspec

from mousetrap.earthquakes import EARTHQUAKES, default_request
from mousetrap.settings import Settings


def default_inputs(settings: Settings) -> Mapping[str, bytes]:
    """Inputs by pipeline: written into the run, so that it shows what was asked for and a re-run asks for the same."""
    return {EARTHQUAKES.name: msgspec.json.encode(default_request(settings.feed_url))}
