"""Prints a Report: one module a format."""
