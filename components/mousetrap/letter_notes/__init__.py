"""Keeps notes on groups of dead letters in the store."""

from mousetrap.letter_notes.notes import MOST_CHARACTERS, MOST_NOTES, LetterNotes, Noted, open_notes

__all__ = ["MOST_CHARACTERS", "MOST_NOTES", "LetterNotes", "Noted", "open_notes"]
