"""Everything that knows Solana or the serviceability program.

Start with `session.py`; `program/` reads accounts, `submit/` writes, `rpc/` speaks to the nodes.
"""
