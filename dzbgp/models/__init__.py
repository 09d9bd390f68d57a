"""Small frozen records that every layer passes on, and what follows from a report: totals, exit code, JSON document.

Start with `ledger.py` (users and devices), then `session.py`, `decision.py` and `report.py`, in the order of a pass;
`summary.py`, `exit.py` and `document.py` read a report.
"""
