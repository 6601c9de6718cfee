"""Keeps who changed what, on a bounded trail in the store."""

from mousetrap.audit_trail.trail import MOST_ENTRIES, AuditTrail, open_trail

__all__ = ["MOST_ENTRIES", "AuditTrail", "open_trail"]
