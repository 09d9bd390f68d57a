"""Everything that knows Solana or the serviceability program."""
