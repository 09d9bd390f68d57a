"""/healthz says whether passes go on."""

import urllib.error
import urllib.request

from dzbgp.metrics.health import Health
from dzbgp.metrics.registry import Metrics


def asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_is_503_once_no_pass_has_ended_for_three_intervals_and_metrics_go_on() -> None:
    now = 0.0
    health = Health(60, lambda: now)
    with Metrics().serve("127.0.0.1:0", health) as server:
        healthz = server.url.replace("/metrics", "/healthz")
        now = 180.0
        assert asked(healthz) == (200, "ok\n")
        now = 200.0
        code, text = asked(healthz)
        assert (code, text) == (503, "no pass has ended for 3 min, which is more than 3 intervals\n")
        assert asked(server.url)[0] == 200
        health.ended()
        assert asked(healthz) == (200, "ok\n")
        assert "dzbgp_build_info" in asked(server.url)[1]
