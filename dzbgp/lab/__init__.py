"""A fleet of simulated EOS devices and a local ledger: for the first run, for demos and for tests."""
