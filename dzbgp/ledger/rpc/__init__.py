"""JSON-RPC to a Solana-type ledger: `pool` asks one of several RPCs, `retry` asks again, `client` asks typed questions.

Start with `client.RpcClient`.
"""
