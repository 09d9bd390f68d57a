"""JSON-RPC to a Solana-type ledger: `pool` retries and switches RPCs, `client` asks typed questions.

Start with `client.RpcClient`.
"""
