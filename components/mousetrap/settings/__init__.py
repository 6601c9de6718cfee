"""The environment, read once and checked; secrets come from variables or files and are masked wherever they show."""

from mousetrap.settings.environment import SettingsWrong
from mousetrap.settings.masking import masked
from mousetrap.settings.private import NotPrivate, check_private, make_private_folder, write_private
from mousetrap.settings.settings import Settings, amqp_url

__all__ = [
    "NotPrivate",
    "Settings",
    "SettingsWrong",
    "amqp_url",
    "check_private",
    "make_private_folder",
    "masked",
    "write_private",
]
