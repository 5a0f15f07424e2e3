"""What the users and both access logs say of a replica that was cut off and came back, beside a plain Deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from e2e.lab.access import wait_for
from e2e.lab.access_logs import PROPAGATION_SECONDS
from e2e.lab.traffic import failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.lab.access_logs import AccessLog
    from e2e.lab.timeline import Timeline
    from e2e.lab.traffic import Traffic

RETURN_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """Times are epoch seconds; `victim` and `healthy`: when these took a request of the users whose reports these are.

    There is one user, who asks again once the answer is there or given up.
    """

    reports: list[dict[str, Any]]
    victim: list[float]
    healthy: list[float]

    @classmethod
    def hear(cls, users: Traffic, logs: Mapping[str, AccessLog], victim: str, healthy: str, since: float) -> Self:
        """Once a request that began at the victim after `since`, when it was proven, has been answered."""

        def served() -> bool:
            ends = [r["start"] + r["seconds"] for r in users.reports() if r["outcome"] == "ok"]
            return any(since < asked <= max(ends, default=0) for asked in logs[victim].completions(users.pod))

        wait_for(f"an answer of {victim}", served, timeout=RETURN_SECONDS)
        asked = {pod: logs[pod].completions(users.pod) for pod in (victim, healthy)}
        return cls(reports=users.reports(), victim=asked[victim], healthy=asked[healthy])

    def check(self, zero: float, times: Timeline, beside: list[dict[str, Any]]) -> None:
        """After a fault at `zero`; `beside`: what the users of the plain Deployment report."""
        assert times.out_of_rotation is not None
        assert times.recovered is not None
        cut_off, back = zero + times.out_of_rotation + PROPAGATION_SECONDS, zero + times.recovered
        late = [r for r in self.reports if r["start"] > cut_off]
        assert failed(late) == 0, [r for r in late if r["outcome"] != "ok"]
        assert [at for at in self.victim if at < zero], "the access log shows no user before the fault"
        assert not [at for at in self.victim if cut_off < at < back], "the frozen replica got a new request"
        meanwhile = [r for r in late if r["start"] + r["seconds"] < back]
        assert meanwhile, "nobody asked between the cut and the return"
        begin, end = meanwhile[0]["start"], meanwhile[-1]["start"] + meanwhile[-1]["seconds"]
        answered = [at for at in self.healthy if begin <= at <= end]
        assert len(answered) == len(meanwhile), "the healthy replica's access log has not each of them once"
        plain = [r for r in beside if r["start"] > cut_off]
        assert failed(plain) == len(plain) > 0, "the plain one answered while frozen"
