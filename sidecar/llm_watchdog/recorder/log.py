"""One JSON line per transition in the log, and the format of all other log lines. Never a user's text."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Final, TextIO

from llm_watchdog.api.reasons import Rung
from llm_watchdog.recorder.documents import happenings

if TYPE_CHECKING:
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.replica import Replica

log = logging.getLogger("llm_watchdog.incident")


class JsonFormatter(logging.Formatter):
    """One line per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Fields of our own come in as `extra={"fields": …}`."""
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "component": record.name.removeprefix("llm_watchdog."),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


PLAIN: Final = "%(asctime)sZ %(levelname)s %(message)s"
"""For people at a terminal."""


def configure(stream: TextIO, *, plain: bool = False, level: int = logging.INFO) -> None:
    """Everything to one stream, in UTC; JSON lines unless it is plain."""
    formatter = logging.Formatter(PLAIN, "%Y-%m-%dT%H:%M:%S") if plain else JsonFormatter()
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("httpx", "httpcore", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)


def tell(before: Replica, after: Replica) -> None:
    """What has happened since."""
    taken = after.precaution
    if taken is not None and taken != before.precaution and taken.flush is None:
        log.info("%s: %s", taken.outcome or "Begins", taken.message, extra={"fields": {"step": Rung.FLUSH_CACHE.value}})
    known = {case.name: case for case in before.cases}
    for case in after.cases:
        earlier = known.get(case.name)
        told = {happening.key for happening in happenings(earlier)} if earlier else set()
        for happening in happenings(case):
            if happening.key not in told:
                fields = {"incident": case.name, "fault": case.fault.value, "phase": case.status.phase.value}
                log.info("%s: %s", happening.reason, happening.message, extra={"fields": fields})
        if earlier is not None and earlier.status.phase is not case.status.phase:
            _tell_phase(earlier, case)


def _tell_phase(earlier: Case, case: Case) -> None:
    fields = {"incident": case.name, "phase": case.status.phase.value, "before": earlier.status.phase.value}
    if case.status.requested_step is not None:
        fields["requestedStep"] = case.status.requested_step.value
    log.info("%s: %s", case.status.phase, case.status.message, extra={"fields": fields})
