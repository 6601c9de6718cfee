"""Reads and checks the environment, finds the local stack, masks secrets."""

from mousetrap.settings.addresses import check_address, check_http, check_places, is_cluster
from mousetrap.settings.engine import ENGINE, MISSING_METRICS, OFF, NetworkSeconds, Seconds
from mousetrap.settings.environment import SettingsWrong, overridden
from mousetrap.settings.groups import Group, SettingsGroup, entries
from mousetrap.settings.local_stack import FOLDER, LocalStack, announced, find_stack, local_environment
from mousetrap.settings.masking import masked
from mousetrap.settings.other_names import unread_names
from mousetrap.settings.private import NotPrivate, check_private, make_private_folder, write_private
from mousetrap.settings.settings import Settings, amqp_url
from mousetrap.settings.unsigned import check_signing

__all__ = [
    "ENGINE",
    "FOLDER",
    "MISSING_METRICS",
    "OFF",
    "Group",
    "LocalStack",
    "NetworkSeconds",
    "NotPrivate",
    "Seconds",
    "Settings",
    "SettingsGroup",
    "SettingsWrong",
    "amqp_url",
    "announced",
    "check_address",
    "check_http",
    "check_places",
    "check_private",
    "check_signing",
    "entries",
    "find_stack",
    "is_cluster",
    "local_environment",
    "make_private_folder",
    "masked",
    "overridden",
    "unread_names",
    "write_private",
]
