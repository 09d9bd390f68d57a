"""A real Solana runtime (LiteSVM) behind JSON-RPC, with time, commitment, forks and faults under control.

Start with `ledger.Ledger`; `faults` lists what can go wrong.
"""
