"""Small frozen records that every layer passes on; they do nothing by themselves.

Start with `ledger.py` (users and devices), then `session.py`, `decision.py` and `report.py`, in the order of a pass.
"""
