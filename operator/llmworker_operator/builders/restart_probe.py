"""The liveness probe of the engine for clusters that cannot restart all containers in place.

It fails only while a restart request lies in the orders volume that is younger than the engine's first process. The
request is the boot clock in hundredths of a second, the unit in which /proc tells when a process was started: no wall
clock, and no file time, takes part. Everything that cannot be read answers "alive".
"""

from __future__ import annotations

from typing import Any, Final

from llm_watchdog.api import names

REQUEST: Final = f"{names.ORDERS_DIR}/{names.RESTART_REQUEST_FILE}"

# A process name may hold blanks and brackets, so fields are counted from the last bracket: the 22nd of the line is the
# 20th from there. A request without a line end is still being written.
SCRIPT: Final = f"""\
[ -r {REQUEST} ] || exit 0
read -r asked < {REQUEST} || exit 0
read -r process < /proc/1/stat || exit 0
set -- ${{process##*) }}
[ "$asked" -gt "${{20}}" ] 2>/dev/null && exit 1
exit 0
"""

TIMEOUT_SECONDS: Final = 15
"""An exec that times out counts as a failure and would kill a healthy busy engine."""
PERIOD_SECONDS: Final = 2
FAILURE_THRESHOLD: Final = 3
GRACE_SECONDS: Final = 5
"""Of the probe, not of the pod: a stopped engine does not react to SIGTERM, and waiting for it costs users."""


def restart_probe() -> dict[str, Any]:
    return {
        "exec": {"command": ["/bin/sh", "-c", SCRIPT]},
        "periodSeconds": PERIOD_SECONDS,
        "failureThreshold": FAILURE_THRESHOLD,
        "timeoutSeconds": TIMEOUT_SECONDS,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
    }
