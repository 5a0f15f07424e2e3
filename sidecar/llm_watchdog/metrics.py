"""`/metrics`: what the loop, the watcher and the journal hold, read when somebody asks. No state of its own."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from llm_watchdog.api.reasons import FaultClass, RotationReason, VerdictState
from llm_watchdog.probes.tally import FIRST_TOKEN_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from llm_watchdog.history import History
    from llm_watchdog.journal import Journal
    from llm_watchdog.loop import Loop
    from llm_watchdog.probes.tally import Tally

PREFIX: Final = "llm_watchdog"
PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")


class WatchdogCollector(Collector):
    """The names are documented; a test guards them."""

    def __init__(self, loop: Loop, tally: Tally, journal: Journal, history: History) -> None:
        self._loop = loop
        self._tally = tally
        self._journal = journal
        self._history = history

    def collect(self) -> Iterator[Metric]:
        """Everything."""
        yield from self._state()
        yield from self._canaries()
        yield from self._incidents()
        yield from self._own()

    def _state(self) -> Iterator[Metric]:
        verdict = GaugeMetricFamily(f"{PREFIX}_verdict", "1 for the verdict that stands.", labels=["state"])
        for state in VerdictState:
            stands = self._loop.verdict is not None and self._loop.verdict.state is state
            verdict.add_metric([state.value], float(stands))
        yield verdict
        findings = GaugeMetricFamily(
            f"{PREFIX}_findings", "1 while a fault of this class is found, whatever its mode.", labels=["fault"]
        )
        found = {finding.fault for finding in self._loop.verdict.findings} if self._loop.verdict else frozenset()
        for fault in FaultClass:
            findings.add_metric([fault.value], float(fault in found))
        yield findings
        modes = self._loop.replica.modes
        yield GaugeMetricFamily(
            f"{PREFIX}_paused",
            "1 while spec.watchdog.paused, or the switch of the whole cluster, holds every step back.",
            value=float(modes is not None and bool(modes.pause)),
        )
        rotation = self._loop.last.rotation if self._loop.last else None
        yield GaugeMetricFamily(
            f"{PREFIX}_in_rotation",
            "1 while this replica may take traffic.",
            value=float(rotation is not None and rotation.in_rotation),
        )
        reasons = GaugeMetricFamily(f"{PREFIX}_rotation_reason", "1 for the reason that stands.", labels=["reason"])
        for reason in RotationReason:
            reasons.add_metric([reason.value], float(rotation is not None and rotation.reason is reason))
        yield reasons

    def _canaries(self) -> Iterator[Metric]:
        canaries = CounterMetricFamily(f"{PREFIX}_canaries", "Canaries by how they ended.", labels=["outcome"])
        for outcome, count in self._tally.canaries.items():
            canaries.add_metric([outcome.value], count)
        yield canaries
        yield CounterMetricFamily(
            f"{PREFIX}_canary_tokens", "Tokens that canaries have cost the engine.", value=self._tally.tokens
        )
        checks = CounterMetricFamily(f"{PREFIX}_checks", "Rounds of active checks.", labels=["kind"])
        for kind, count in self._tally.checks.items():
            checks.add_metric([kind.value], count)
        yield checks
        yield CounterMetricFamily(
            f"{PREFIX}_check_tokens",
            "Tokens that active checks have made the engine generate, a part of the canary tokens.",
            value=self._tally.check_tokens,
        )
        yield CounterMetricFamily(
            f"{PREFIX}_check_prompt_tokens",
            "Tokens of the prompts of active checks, as far as the engine tells.",
            value=self._tally.check_prompt_tokens,
        )
        bounds = zip(FIRST_TOKEN_BUCKETS, self._tally.first_token_buckets, strict=True)
        buckets = [(str(bound), float(count)) for bound, count in bounds]
        yield HistogramMetricFamily(
            f"{PREFIX}_canary_first_token_seconds",
            "From a canary's request to its first generated token.",
            buckets=[*buckets, ("+Inf", float(self._tally.first_token_count))],
            sum_value=self._tally.first_token_sum,
        )

    def _incidents(self) -> Iterator[Metric]:
        opened = CounterMetricFamily(f"{PREFIX}_incidents", "Incidents opened.", labels=["fault"])
        for fault, count in self._history.opened.items():
            opened.add_metric([fault], count)
        yield opened
        closed = CounterMetricFamily(f"{PREFIX}_incidents_closed", "Incidents closed.", labels=["fault", "outcome"])
        for labels, count in self._history.closed.items():
            closed.add_metric(labels, count)
        yield closed
        steps = CounterMetricFamily(f"{PREFIX}_steps", "Rungs by how they ended.", labels=["step", "outcome"])
        for labels, count in self._history.steps.items():
            steps.add_metric(labels, count)
        yield steps
        unacknowledged = sum(
            self._loop.acknowledged.get(case.name) != case.revision for case in self._loop.replica.cases
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_incidents_unacknowledged",
            "Incidents of which the API server does not hold the newest.",
            value=unacknowledged,
        )

    def _own(self) -> Iterator[Metric]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        values: list[tuple[str, str, Any]] = [
            ("journal_errors", "Writes that the journal's volume did not take.", self._journal.errors),
            ("own_errors", "Mistakes of the watchdog's own.", self._loop.own_errors + self._tally.own_errors),
            ("process_cpu_seconds", "Processor time of this process.", used.ru_utime + used.ru_stime),
        ]
        for name, what, value in values:
            yield CounterMetricFamily(f"{PREFIX}_{name}", what, value=value)
        yield GaugeMetricFamily(
            f"{PREFIX}_journal_durable", "1 while the journal is on the disk.", value=float(self._journal.durable)
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_loop_lag_seconds",
            "How much later than planned the last pass came.",
            value=self._loop.lag_seconds,
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_process_resident_bytes", "Resident memory of this process.", value=float(_resident_bytes())
        )


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one line of a pseudo file
        return int(file.read().split()[1]) * PAGE_BYTES


def exposition(collector: Collector) -> bytes:
    """The page, from a registry of its own: nothing that a library registers by itself gets in."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)
