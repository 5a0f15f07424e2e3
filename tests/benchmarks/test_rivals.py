"""The other rules as tables, each at the settings that it is cited with."""

import pytest

from benchmarks.detection.rivals import kserve, kubeai, production_stack
from benchmarks.detection.rivals.hang_watcher import Page, State, read
from benchmarks.detection.rivals.kubelet import Probe, Standing


@pytest.mark.parametrize(
    ("answers", "good"),
    [
        ("", None),
        ("+", True),
        ("--", None),
        ("---", False),
        ("--+--", True),
        ("+--", True),
        ("+---", False),
        ("---+", True),
    ],
)
def test_the_kubelet_counts_failures_in_a_row(answers: str, good: object) -> None:
    standing = Standing(probe=Probe(path="/health"))
    for answer in answers:
        standing = standing.after(passed=answer == "+")
    assert standing.good is good


@pytest.mark.parametrize(
    ("probe", "settings"),
    [
        (kserve.VLLM.liveness, (10, 10, 3)),
        (kserve.VLLM.readiness, (5, 5, 3)),
        (kserve.SGLANG.readiness, (10, 5, 60)),
        (kubeai.PROBES.liveness, (30, 3, 3)),
        (kubeai.PROBES.readiness, (10, 2, 3)),
        (production_stack.PROBES.liveness, (10, 1, 3)),
        (production_stack.PROBES.readiness, (5, 1, 3)),
    ],
)
def test_probes_are_set_as_cited(probe: Probe, settings: tuple[float, float, int]) -> None:
    assert (probe.period, probe.timeout, probe.failures) == settings


GROWN = State(started=True, progress=10.0, cache=0.2, grew_at=100.0)


@pytest.mark.parametrize(
    ("page", "now", "stands", "grew_at"),
    [
        (Page(progress=11.0, cache=0.2), 120.0, False, 120.0),
        (Page(progress=3.0, cache=0.2), 120.0, False, 120.0),  # restarted
        (Page(progress=10.0, cache=0.3), 120.0, False, 120.0),  # a prefill takes blocks
        (Page(progress=10.0, cache=0.1), 120.0, True, 100.0),  # given back: no progress
        (Page(progress=None), 120.0, False, 100.0),
    ],
)
def test_hang_watcher_takes_counters_and_a_rising_cache_for_progress(
    page: Page, now: float, stands: object, grew_at: float
) -> None:
    state, asks = GROWN.seen(page, now)
    assert (asks, state.grew_at, state.hung) == (stands, grew_at, False)


@pytest.mark.parametrize(
    ("now", "passed", "progress", "hung"),
    [
        (125.0, False, None, False),
        (129.9, False, 10.0, False),
        (130.0, False, 10.0, True),
        (130.0, False, None, True),
        (130.0, True, None, False),
        (130.0, False, 11.0, False),  # it went on while the probe waited
    ],
)
def test_hang_watcher_needs_30_seconds_of_failed_probes(
    now: float, passed: object, progress: float | None, hung: object
) -> None:
    assert GROWN.probed(now, passed=bool(passed), progress=progress).hung is hung


def test_hang_watcher_waits_for_the_first_page_and_then_takes_its_absence_for_a_hang() -> None:
    assert State().unreachable(0.0).unreachable(1000.0).hung is False
    state = GROWN.unreachable(100.0).unreachable(129.0)
    assert state.hung is False
    assert state.unreachable(130.0).hung is True
    assert state.seen(Page(progress=10.0, cache=0.2), 131.0)[0].unreachable_since is None


def test_hang_watcher_sums_what_it_reads() -> None:
    text = (
        '# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{engine="0"} 5\n'
        '# TYPE vllm:generation_tokens counter\nvllm:generation_tokens_total{engine="0"} 2\n'
        'vllm:generation_tokens_total{engine="1"} 3\n'
        '# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{engine="0"} 0.25\n'
    )
    assert read(text) == Page(progress=10.0, cache=0.25)
    assert read("<html>Welcome</html>") == Page(progress=None)
