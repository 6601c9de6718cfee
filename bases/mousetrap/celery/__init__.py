"""Takes tasks of Celery's clients, and sends tasks to Celery's workers."""

from mousetrap.celery.arrived import FROM_CELERY
from mousetrap.celery.binding import bind_celery
from mousetrap.celery.broker import CeleryBroker, open_celery
from mousetrap.celery.celery_task import celery_task
from mousetrap.celery_messages import Signature

__all__ = ["FROM_CELERY", "CeleryBroker", "Signature", "bind_celery", "celery_task", "open_celery"]
