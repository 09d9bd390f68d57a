"""Small frozen records that every layer passes on, and what follows from a report: totals, exit code, JSON document.

Start with `ledger.py` (users and devices), then `session.py`, `decision.py` and `report.py`, in the order of a pass;
`summary.py`, `exit.py` and `json_schema.py` read a report.

Records that a pass makes for every user are msgspec structs: a frozen dataclass takes twenty times as long to make, and
a third more memory. The collector of cycles need not look at them (gc=False): they hold no records of a later stage.
"""
