"""Makes the broker's address from the tutorial's variables."""

from collections.abc import Mapping
from urllib.parse import quote

from mousetrap.settings.addresses import check_host
from mousetrap.settings.engine import check_broker
from mousetrap.settings.environment import SettingsWrong


def tutorial_url(environ: Mapping[str, str]) -> str:
    """The address made of the tutorial's variables and their defaults. Raises SettingsWrong."""
    host = environ.get("RABBITMQ_HOST", "localhost").strip()
    try:
        if "," not in host:  # in a list each but the last may have a port, which the address is checked for
            check_host(host)
        user = quote(environ.get("RABBITMQ_USER", "DEV_USER"), safe="")
        password = quote(environ.get("RABBITMQ_PASSWORD", "CHANGE_ME"), safe="")
        url = f"amqp://{user}:{password}@{f'[{host}]' if ':' in host and ',' not in host else host}:5672/%2F"
        check_broker(url)
    except UnicodeEncodeError:
        raise SettingsWrong("RABBITMQ_USER and RABBITMQ_PASSWORD: write them in UTF-8") from None
    except ValueError as error:
        raise SettingsWrong(f"RABBITMQ_HOST and RABBITMQ_PASSWORD: {error}") from None
    return url
