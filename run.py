#!/usr/bin/env python3
"""Runs dzbgp from a checkout: `./run.py ...` is `dzbgp ...`."""

from dzbgp.cli.app import main

if __name__ == "__main__":
    main()
