"""The policy that sets crash points reaches the watchdog's container of the pods that ask for it, and no other."""

import pytest

from e2e.cluster.access import ApiAccess
from e2e.lab.access import run
from e2e.lab.crash_points import ANNOTATION, in_force, pod, variables
from llm_watchdog.api import names
from llm_watchdog.crash_points import ENV_CRASH_AT

pytestmark = pytest.mark.apiserver

NAMESPACE = "crash-points"


def test_the_annotation_becomes_a_variable_of_the_watchdog(apiserver: ApiAccess) -> None:
    run(apiserver, "create", "namespace", NAMESPACE)
    run(apiserver, "-n", NAMESPACE, "create", "serviceaccount", "default")
    told = pod({ANNOTATION: "journalled:Claimed"})
    with in_force(apiserver, NAMESPACE):
        assert variables(apiserver, NAMESPACE, told) == {names.ENV_WORKER: "none", ENV_CRASH_AT: "journalled:Claimed"}
        assert variables(apiserver, NAMESPACE, pod({})) == {names.ENV_WORKER: "none"}
        assert variables(apiserver, NAMESPACE, pod({"other": "annotation"})) == {names.ENV_WORKER: "none"}
