"""Around the watchdog, for the state machine over crashes: API server, recorder and operator, in a few lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from llm_watchdog.api.incident import Grant
from llm_watchdog.api.reasons import Mode, Phase
from llm_watchdog.core.case import Stage
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Gate, IncidentView
from tests.sidecar.situations import World


class Surroundings(RuleBasedStateMachine):
    """`objects` is what the API server holds, `seen` what the watchdog has been told of it."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Replica()
        self.objects: dict[str, IncidentView] = {}
        self.seen: dict[str, IncidentView] = {}
        self.version = 0
        self.world = World()
        self.api_down_at: float | None = None
        self.gate: Gate | None = None
        self.mode = Mode.ENFORCE
        self.paused = ""

    @rule(mode=st.sampled_from(list(Mode)))
    def mode_changes(self, mode: Mode) -> None:
        self.mode = mode

    @rule(paused=st.sampled_from(["", "", "a new driver", "a drill"]))
    def all_is_paused_or_goes_on(self, paused: str) -> None:
        self.paused = paused

    @rule()
    def api_goes_or_comes(self) -> None:
        self.api_down_at = self.world.at if self.api_down_at is None else None

    def write_gate(self, in_rotation: bool) -> None:  # noqa: FBT001
        if self.api_down_at is None and (self.gate is None or self.gate.in_rotation != in_rotation):
            self.gate = Gate(in_rotation=in_rotation, since=self.world.now)

    @precondition(lambda self: self.api_down_at is None)
    @rule()
    def recorder_syncs(self) -> None:
        for case in self.memory.cases:
            held = self.objects.get(case.name)
            if case.stage is Stage.CLAIMING:
                known = self.seen.get(case.name)
                if held is None or known is None or known.grant is None or known.phase is not Phase.AWAITING_GRANT:
                    pass
                elif known.resource_version == held.resource_version:
                    self.store(case.name, replace(held, phase=Phase.ACTING))
            else:
                grant = held.grant if held else None
                self.store(
                    case.name,
                    IncidentView(
                        resource_version="",
                        phase=case.status.phase,
                        requested_step=case.status.requested_step,
                        grant=grant,
                    ),
                )
            if case.name in self.objects:
                self.seen[case.name] = self.objects[case.name]

    def store(self, name: str, view: IncidentView) -> None:
        held = self.objects.get(name)
        if held is None or replace(held, resource_version="") != replace(view, resource_version=""):
            self.version += 1
            self.objects[name] = replace(view, resource_version=str(self.version))

    @precondition(lambda self: self.api_down_at is None)
    @rule(told=st.booleans())
    def operator_grants(self, told: bool) -> None:  # noqa: FBT001
        for name, view in self.objects.items():
            if view.phase is Phase.AWAITING_GRANT and view.grant is None and view.requested_step is not None:
                now = self.world.now
                given = Grant(step=view.requested_step, granted_at=now, expires_at=now + timedelta(seconds=30))
                self.store(name, replace(view, grant=given))
            if told and name in self.seen:
                self.seen[name] = self.objects[name]

    @precondition(lambda self: self.api_down_at is None)
    @rule(told=st.booleans())
    def operator_withdraws(self, told: bool) -> None:  # noqa: FBT001
        """Only what nobody has claimed."""
        for name, view in self.objects.items():
            if view.phase in (Phase.AWAITING_GRANT, Phase.OPEN) and view.grant is not None:
                self.store(name, replace(view, grant=None))
            if told and name in self.seen:
                self.seen[name] = self.objects[name]
