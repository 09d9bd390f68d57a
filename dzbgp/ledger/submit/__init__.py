"""Writes onchain: packs statuses into transactions, signs, sends and confirms them. Start with submitter.py.

A write in flight is models/in_flight.py. What may be signed is decided by whoever submits: see reread.py.
"""
