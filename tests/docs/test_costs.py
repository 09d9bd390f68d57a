"""What the pages say that it costs is what the formula says, and what the benchmark asks for."""

import re

from pages import DOCS

REFRESHES, FEE_SOL = 30 * 24 // 6, 5_000 / 10**9


def test_each_row_of_the_costs_follows_from_the_formula() -> None:
    page = (DOCS / "should-i-run-this.md").read_text(encoding="utf-8")
    found = re.search(r"its users / (\d+), rounded up\..*\n2\. Times (\d+), .* \(30 days x (\d+)\)", page)
    assert found is not None
    assert int(found[2]) == 30 * int(found[3]) == REFRESHES
    packed = int(found[1])
    # The plan for large fleets rests on the same packing.
    assert f"up to {packed} users" in (DOCS / "scale.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([\d,]+) \| (\d+)(?:, (.*?))? \| ([\d,]+) \| ([\d.]+) \| ([\d,]+): ([\d.]+) \|$",
        page,
        re.MULTILINE,
    )
    assert len(rows) == 4
    for users, devices, keys, refreshes, sol, alone, alone_sol in rows:
        count = int(users.replace(",", ""))
        publishers = 1 if keys == "one key for all" else int(devices)
        transactions = REFRESHES * publishers * -(-count // publishers // packed)
        assert refreshes == f"{transactions:,}"
        assert float(sol) == round(transactions * FEE_SOL, 6)
        assert alone == f"{REFRESHES * count:,}"
        assert float(alone_sol) == round(REFRESHES * count * FEE_SOL, 6)


def test_the_pages_and_the_benchmark_say_the_same_number_of_rpc_requests() -> None:
    performance, scale, steady = (
        (DOCS.parent / name).read_text(encoding="utf-8")
        for name in ("docs/performance.md", "docs/scale.md", "tests/bench/bench_steady.py")
    )
    found = [
        re.findall(r"^REQUESTS = (\d+)$", steady, re.MULTILINE),
        re.findall(r"^\| a run in which nothing is due \|.*\| (\d+): ", performance, re.MULTILINE),
        re.findall(r"^\| RPC requests of a run, .*? \| (\d+) \| (?=\1 \|)", scale, re.MULTILINE),
    ]
    assert found == [[found[0][0]]] * 3
