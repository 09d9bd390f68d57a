"""What outlives a run, in one SQLite file for each ledger: memory of users, writes in flight, locks, past passes.

Start reading at store.py; memory.py is what a pass knows of it, place.py says where the file is.
"""
