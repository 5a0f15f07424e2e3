"""Around the watchdog, for the state machine over crashes: what becomes of a flush or an abort, and who is served."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from llm_watchdog.core.situation import OrderAnswer, OrderState
from tests.sidecar.remediation_surroundings import Surroundings


class Errands(Surroundings):
    def __init__(self) -> None:
        super().__init__()
        self.in_flight = 0
        self.abortable = 0
        self.flush_answers: dict[str, OrderState] = {}
        self.abort_answers: dict[str, OrderState] = {}

    def forget_orders(self) -> None:
        """The process ends."""
        self.flush_answers = {}
        self.abort_answers = {}
        self.abortable = 0

    def answer_to_flush(self) -> OrderAnswer | None:
        taken = self.memory.precaution
        orders = [case.flush for case in self.memory.open_cases] + [taken.flush if taken else None]
        order = next((order for order in orders if order is not None), None)
        return None if order is None else OrderAnswer(state=self.flush_answers.get(order.id, OrderState.ABSENT))

    def answer_to_abort(self) -> OrderAnswer | None:
        order = next((case.abort for case in self.memory.open_cases if case.abort), None)
        return None if order is None else OrderAnswer(state=self.abort_answers.get(order.id, OrderState.ABSENT))

    @rule(state=st.sampled_from([state for state in OrderState if state is not OrderState.ABSENT]))
    def the_flush_is_answered(self, state: OrderState) -> None:
        self.flush_answers = dict.fromkeys(self.flush_answers, state)

    @rule(number=st.integers(0, 2))
    def own_requests_may_still_run(self, number: int) -> None:
        self.abortable = number

    @rule(state=st.sampled_from([state for state in OrderState if state is not OrderState.ABSENT]))
    def the_abort_is_answered(self, state: OrderState) -> None:
        self.abort_answers = dict.fromkeys(self.abort_answers, state)

    @rule(users=st.integers(0, 2))
    def users_come_and_go(self, users: int) -> None:
        self.in_flight = users
