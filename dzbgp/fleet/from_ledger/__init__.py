"""Inventories made of the ledger: which devices are hosts, what is known of them, and the files that say so."""
