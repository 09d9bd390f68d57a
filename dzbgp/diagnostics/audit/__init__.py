"""What is odd across the ledger and, with an inventory, the devices; nothing is written, anywhere.

Start with `audit.run_audit`; `findings.py` names every kind of finding.
"""
