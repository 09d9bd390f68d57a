"""What the ledger says, as rows for people and for scripts. No device is touched, no Nornir loaded."""
