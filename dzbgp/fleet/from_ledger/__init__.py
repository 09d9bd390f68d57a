"""Inventories made from the ledger: as a Nornir plugin, and as files that keep what people added.

Start with `plugin.py` for `dz://`, and with `directory.py` for `dzbgp inventory`.
"""
