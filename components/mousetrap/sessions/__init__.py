"""Keeps in the store who is signed in."""

from mousetrap.sessions.sessions import IDLE_S, LONGEST_S, MOST_OF_A_KEY, Sessions, open_sessions

__all__ = ["IDLE_S", "LONGEST_S", "MOST_OF_A_KEY", "Sessions", "open_sessions"]
