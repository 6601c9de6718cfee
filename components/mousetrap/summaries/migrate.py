"""Makes the table of summaries."""

from mousetrap.earthquakes_settings import DATABASE
from mousetrap.settings import Settings, SettingsWrong, masked
from mousetrap.summaries.store import open_summaries


def migrate(settings: Settings) -> str:
    """Makes the table, or leaves one that is there, and returns where it is. Raises SettingsWrong for a wrong address."""
    url = settings.of(DATABASE).url
    try:
        with open_summaries(url) as summaries:
            count = summaries.count()
    except ValueError as error:
        raise SettingsWrong(f"MOUSETRAP_DATABASE_URL: {error}") from error
    return f"the table of summaries is at {masked(url).partition('?')[0]}, with {count} in it"
