"""How long the plain Deployment is given before its row is written."""

from __future__ import annotations

import pytest

from e2e.lab.plain import PROBES_SECONDS, is_settled
from e2e.lab.timeline import Timeline

SOON, LATE, VERY_LATE = PROBES_SECONDS - 1, PROBES_SECONDS + 1, PROBES_SECONDS + 61


@pytest.mark.parametrize(
    ("times", "elapsed", "settled"),
    [
        (Timeline(), SOON, False),
        (Timeline(), LATE, True),
        (Timeline(out_of_rotation=2.0), LATE, False),
        (Timeline(restarted=105.0), LATE, False),
        (Timeline(out_of_rotation=2.0, restarted=105.0), VERY_LATE, True),
        (Timeline(out_of_rotation=2.0, restarted=30.0, recovered=60.0), SOON, True),
    ],
)
def test_its_probes_have_their_say(times: Timeline, elapsed: float, settled: bool) -> None:  # noqa: FBT001
    assert is_settled(times, elapsed, start_seconds=60) is settled
