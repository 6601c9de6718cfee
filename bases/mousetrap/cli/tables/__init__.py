"""Draws replies of the API and checks as tables: pure."""
