"""What is wrong, and what to do about it; nothing is written, anywhere.

Start with `check/checks.py` (what a run needs), `audit/audit.py` (what is odd on the ledger and the devices) or
`explain/explain.py` (everything about one user).
"""
