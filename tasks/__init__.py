"""Nornir tasks: what is asked of one device.

Start with `bgp_neighbors`, which both looks of a pass run; `probe` says how far one comes with a device.
"""
