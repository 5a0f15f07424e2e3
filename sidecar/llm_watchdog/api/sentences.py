"""One sentence for each fault class and reason: what `llm-watchdog faults` and the documentation say.

The same as stands in `api.reasons` at each member, which a running program cannot read; a test compares them.
"""

from __future__ import annotations

from typing import Final

from llm_watchdog.api.reasons import FaultClass, FindingReason

FAULTS: Final[dict[FaultClass, str]] = {
    FaultClass.ENGINE_DEAD: "It answers with errors, or its process does not come up.",
    FaultClass.WAKE_FAILED: "After a wake state and behaviour disagree, or a pause never ends.",
    FaultClass.STALLED_STREAM: "No first token, a gap between tokens, or requests that are never admitted.",
    FaultClass.CROSS_TALK: "One stream carries another's content.",
    FaultClass.LEAKED_CONCURRENCY: "Slots are held although nobody is connected and nothing is generated.",
    FaultClass.DEGRADED_OUTPUT: "What is generated is not what this model generates.",
    FaultClass.RUNAWAY_GENERATION: (
        "No stop before the limit, tokens for nobody, or one request that never ends while others starve."
    ),
    FaultClass.INCOMPLETE_STREAM: "Streams begin and do not end as the engine's protocol says.",
}

REASONS: Final[dict[FindingReason, str]] = {
    FindingReason.NO_FIRST_TOKEN: "The engine was asked and sent no generated token within the deadline.",
    FindingReason.TOKEN_GAP: "A canary stream began and then stopped moving.",
    FindingReason.NO_PROGRESS: (
        "Clients are connected, no byte moves on any connection and no counter of the engine moves."
    ),
    FindingReason.ADMISSION_STALLED: "Requests wait although nothing runs and the cache is free.",
    FindingReason.FIRST_TOKEN_SLOWING: "The time to first token grows without end while the load does not.",
    FindingReason.USER_STREAM_STALLED: "A user's request gets no byte although the engine generates for others.",
    FindingReason.HEALTH_FAILING: "The engine's own health endpoint answers 5xx in a running container.",
    FindingReason.COMPLETIONS_FAILING: "Generation requests are answered with 5xx at once.",
    FindingReason.OUT_OF_MEMORY: "The same, and the error body says that memory ran out.",
    FindingReason.START_TIMED_OUT: "It was started, by whomever, and did not come up within the start-up limit.",
    FindingReason.UPSTREAM_FAILED: (
        "A gateway relays an error of the server behind it: a restart of the gateway cures nothing."
    ),
    FindingReason.WAKE_ERROR: "The wake was answered with an error.",
    FindingReason.AWAKE_BUT_SILENT: "It says that it is awake, and generates no token.",
    FindingReason.PAUSED_TOO_LONG: "Somebody paused it, and nobody resumed it within the limit.",
    FindingReason.FOREIGN_CONTENT: "A stream carries a nonce, or the known answer, of another one.",
    FindingReason.OWN_WORDS_MISSING: "Right alone, and robbed of its own words beside another stream.",
    FindingReason.STALE_CONTENT: "A stream carries words of one that was abandoned before.",
    FindingReason.QUEUE_AT_LIMIT: "The queue length stands at or above the limit and no request is completed.",
    FindingReason.SLOT_PROBE_HANGS: "A call that needs a slot and no token hangs while the web server answers.",
    FindingReason.SLOTS_WITHOUT_PROGRESS: "Slots are busy and none of them moves.",
    FindingReason.RUNNING_WITHOUT_CLIENTS: (
        "Requests count as running although nobody is connected and nothing is generated."
    ),
    FindingReason.CACHE_HELD_WHILE_IDLE: "Cache blocks are in use although nothing runs and nothing waits.",
    FindingReason.SLOTS_NOT_RETURNED: "Streams were opened and dropped, and their slots did not come back.",
    FindingReason.REPETITION: "Far more repetitive than this model's own baseline.",
    FindingReason.BROKEN_NUMBERS: "Log probabilities are null or not numbers.",
    FindingReason.DRIFTED: "Greedy tokens or their probabilities have left the fingerprint.",
    FindingReason.DISSENTS: (
        "Greedy answers are unlike those of most other replicas of the same revision on the same type of accelerator."
    ),
    FindingReason.WRONG_ANSWER: (
        "A question with a known answer, or one it could answer at baseline, is answered wrong."
    ),
    FindingReason.CACHE_CORRUPT: "Right on a cache miss and wrong on a hit: the cache is to blame.",
    FindingReason.BASELINE_CHANGED: (
        "The same other output after a restart too: the model was changed, or this replica is another; reported, never "
        "acted on."
    ),
    FindingReason.BEYOND_LIMIT: "A canary went on beyond the tokens that were asked for.",
    FindingReason.NO_STOP: "A prompt that stopped by itself at baseline no longer does.",
    FindingReason.TOKENS_FOR_NOBODY: "Tokens flow although nobody is connected.",
    FindingReason.STARVATION: "Tokens flow, requests wait for minutes, and none is finished.",
    FindingReason.NO_FINISH_REASON: "The stream ended without saying why.",
    FindingReason.NO_TERMINATOR: "The stream said that it is finished and never ended.",
    FindingReason.BODY_CUT: "The connection was cut inside the body.",
    FindingReason.EMPTY_ANSWER: "A 200 without a body, with `null`, or with empty choices.",
    FindingReason.ERROR_IN_STREAM: "An error object inside a 200.",
    FindingReason.USAGE_MISMATCH: "The usage that it states is not what came.",
    FindingReason.ANSWER_CUT: "Ends as if complete, after fewer tokens than asked for and than it gave at baseline.",
}
