"""Everything a run needs, tested one by one, with a remedy for each failure; nothing is written, anywhere.

Start with `checks.run_check`; one module a subject (inventory, ledger, keys, state, devices) does the tests.
"""
