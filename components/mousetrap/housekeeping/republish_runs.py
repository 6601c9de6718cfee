"""Publishes runs that were recorded and never published."""

import logging

from mousetrap.housekeeping.duty import Duty
from mousetrap.jobs import StoreUnreachable
from mousetrap.submit_run import Submitter
from mousetrap.telemetry import OutageLog

EVERY_S = 30.0

_log = logging.getLogger("mousetrap.housekeeping")


def republish_duty(submitter: Submitter) -> Duty:
    """The duty to republish the runs of submitters that died; it logs outages of the store."""
    outage = OutageLog(_log, "waiting for the store", "the store serves again")

    async def act() -> None:
        try:
            await submitter.republish()
        except StoreUnreachable as error:
            outage.began(f"{str(error).rstrip('.')}. Check that MOUSETRAP_STORE_URL names it")
        else:
            outage.ended()

    return Duty(EVERY_S, act)
