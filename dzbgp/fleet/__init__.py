"""The devices of an inventory: loaded, matched with the ledger, and asked in parallel through Nornir.

Start with `fleet.py`; `load.py` reads inventories, `dask/` asks from other processes or machines.
"""
