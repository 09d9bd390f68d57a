"""`dzbgp explain`: everything about one user: ledger, device, past, what a run would do, and what to do next.

Start with `explain.run_explain`; `render.py` shows what it returns.
"""
