"""Nornir tasks: what is asked of one device."""
