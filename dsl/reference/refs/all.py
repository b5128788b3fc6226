"""Registers every operator."""
from . import micro, stat, ta, time  # noqa: F401
