"""Writes onchain: packs statuses into transactions, signs, sends and confirms them. Start with submitter.py.

A write in flight is models/in_flight.py. What may be signed is decided right before each signature by whoever submits
(run/authorize.py), from what reread.py reads. preflight.py asks once, before anything is signed; verify.py reads back;
settle.py finds the fates of what an earlier pass sent.
"""
