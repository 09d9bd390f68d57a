"""A fleet of simulated EOS devices and a local ledger, for the first run, demos and tests.

Start with `lab.py`, which starts both; `world/` has the accounts and scenarios.
"""
