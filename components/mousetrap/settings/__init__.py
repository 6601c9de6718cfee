"""The environment, read once and checked; secrets come from variables or files and are masked wherever they show."""

from mousetrap.settings.environment import SettingsWrong
from mousetrap.settings.local_stack import FOLDER, LocalStack, announced, find_stack, local_environment
from mousetrap.settings.masking import masked
from mousetrap.settings.private import NotPrivate, check_private, make_private_folder, write_private
from mousetrap.settings.settings import Settings, amqp_url
from mousetrap.settings.unsigned import check_signing

__all__ = [
    "FOLDER",
    "LocalStack",
    "NotPrivate",
    "Settings",
    "SettingsWrong",
    "amqp_url",
    "announced",
    "check_private",
    "check_signing",
    "find_stack",
    "local_environment",
    "make_private_folder",
    "masked",
    "write_private",
]
