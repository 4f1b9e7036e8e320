"""Fixtures of the fast tests."""

from cli_runner import filled, run

__all__ = ["filled", "run"]
