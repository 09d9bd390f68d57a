"""The accounts of the simulated ledger and the state of its devices, all drawn from one seed.

Start with `scenario.py`, which lists the devices and users.
"""
