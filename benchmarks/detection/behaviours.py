"""What is played, as data. Rows of the list of reports are cited by the catalogue's entry of each fault."""

from __future__ import annotations

from typing import Final

from benchmarks.detection.cases import LOADED, SILENT, Behaviour, LoadName, Story

FAULTY: Final = (
    Behaviour(name="hang", says="the engine stops; health stays as it is", faults=("hang", "hang-when-health-lies")),
    Behaviour(
        name="sick after a pause",
        says="the first request after a pause hangs it, kills it, or waits for ever",
        faults=("hang-after-idle=20..60", "sleep-race=20..60", "die-after-idle=20..60"),
        loads=SILENT,
        story=Story.RARE_USER,
        seconds=900,
    ),
    Behaviour(name="hang after work", says="stops after some requests", faults=("hang-after-requests=5..60",)),
    Behaviour(
        name="stall in a stream",
        says="tokens stop in the middle of an answer, or never follow the header",
        faults=("stall-after=1..3", "header-only", "lost-and-uncounted"),
    ),
    Behaviour(
        name="nothing is admitted",
        says="slots and cache are free, and requests wait",
        faults=("admission-stall", "passes-ping-fails-traffic", "queue-only-grows"),
    ),
    Behaviour(name="frozen server", says="nothing is answered, not even health", faults=("api-server-freeze",)),
    Behaviour(
        name="first token slows",
        says="each request waits longer than the one before",
        faults=("first-token-slows=1..3",),
        seconds=600,
    ),
    Behaviour(
        name="errors only",
        says="every generation fails at once",
        faults=("completions-fail", "out-of-memory", "sick-in-a-running-container", "gateway-saturated"),
    ),
    Behaviour(name="engine dead, server alive", says="answers 500 for ever", faults=("die-keepalive=0..5",)),
    Behaviour(name="engine dies", says="the process exits; the kubelet starts it again", faults=("die=0..5",)),
    Behaviour(
        name="incomplete streams",
        says="streams that do not end as they should",
        faults=(
            "no-finish",
            "finish-null",
            "finish-hides-length",
            "closes-in-the-middle=1..3",
            "no-terminator",
            "empty-choices=1..2",
            "wrong-usage=3..9",
            "null-body",
            "answer-cut=1",
        ),
    ),
    Behaviour(
        name="cut bodies and inner errors",
        says="the connection is cut in the body, or an error comes inside the 200",
        faults=("cut-body=1..3", "error-inside=1..3", "upstream-failed"),
    ),
    Behaviour(
        name="leaked slots",
        says="slots are held for nobody",
        faults=("leak-on-finish", "leak-on-abort", "leak-on-error=3", "blocked-thread=20"),
        loads=LOADED,
        story=Story.LEAVERS,
        seconds=900,
    ),
    Behaviour(
        name="gauges stuck",
        says="running or cache use never returns to 0",
        faults=("running-stuck=2", "cache-held=0.5"),
        loads=SILENT,
    ),
    Behaviour(
        name="tokens for nobody",
        says="a client that leaves does not end its generation",
        faults=("tokens-for-nobody",),
        loads=LOADED,
        story=Story.LONG_LEAVERS,
        seconds=900,
    ),
    Behaviour(
        name="one that runs on",
        says="one request never ends, also when its client has left; the others are well",
        faults=("runs-on",),
        loads=(LoadName.IDLE,),
        seconds=600,
    ),
    Behaviour(
        name="repetition",
        says="one token or word without end",
        faults=("repeat", "one-token", "endless-whitespace", "broken-numbers"),
        seconds=600,
    ),
    Behaviour(
        name="repetition after a long prompt",
        says="`!` for every request once a long prompt came",
        faults=("repeat-after-long-prompt=800",),
        loads=(LoadName.LIGHT,),
        story=Story.LONG_PROMPTS,
        seconds=600,
    ),
    Behaviour(
        name="drift",
        says="fluent text of another model, or pieces of words",
        faults=("drift", "gibberish", "drift-after-requests=20..200", "drift-slightly"),
        seconds=600,
    ),
    Behaviour(
        name="corrupt cache",
        says="wrong on a hit, right on a miss",
        faults=("poisoned-cache", "cache-hit-corrupts"),
        loads=(LoadName.IDLE, LoadName.LIGHT),
        seconds=600,
    ),
    Behaviour(
        name="degraded after a wake",
        says="woken, awake by its own word, and its answers are wrong",
        faults=("repeat-after-wake", "gibberish-after-wake", "drift-after-wake", "stale-cache-after-wake"),
        loads=(LoadName.IDLE, LoadName.LIGHT),
        story=Story.WAKE,
    ),
    Behaviour(
        name="wake failed",
        says="the wake is answered with an error, or with nothing behind it",
        faults=("wake-error", "wake-silent"),
        loads=(LoadName.IDLE, LoadName.LIGHT),
        story=Story.WAKE,
        seconds=600,
    ),
    Behaviour(
        name="asleep, and says that it is awake",
        says="every request waits",
        faults=("asleep-unsaid",),
        seconds=900,
    ),
    Behaviour(
        name="stale words",
        says="what an abandoned stream had yet to say is given to the next one",
        faults=("stale-bleed",),
        loads=SILENT,
        story=Story.FROM_START,
    ),
    Behaviour(
        name="cross-talk",
        says="one stream carries another's words",
        faults=("cross-talk", "shared-queue"),
        loads=(LoadName.IDLE, LoadName.LIGHT),
        seconds=600,
    ),
    Behaviour(
        name="no end",
        says="generates beyond what was asked for, or never stops by itself",
        faults=("beyond-limit=50", "no-stop", "runaway-then-dies=120"),
        seconds=600,
    ),
    Behaviour(
        name="starvation",
        says="one request never ends, and the others get no slot",
        faults=("starvation",),
        loads=LOADED,
        seconds=900,
    ),
    Behaviour(
        name="stuck in leaving", says="`Stopping...` for ever", faults=("stuck-stopping",), loads=(LoadName.IDLE,)
    ),
)

SPORADIC: Final = (
    Behaviour(
        name="sporadic: lost requests",
        says="a share of the requests never gets a token",
        faults=("lost-requests=1",),
        loads=tuple(LoadName),
        seconds=1800,
    ),
    Behaviour(
        name="sporadic: cut bodies", says="a share is cut", faults=("cut-body=1",), loads=tuple(LoadName), seconds=1800
    ),
    Behaviour(
        name="sporadic: repetition",
        says="a share of the answers repeats without end",
        faults=("repeat",),
        loads=tuple(LoadName),
        seconds=1800,
    ),
)
INCIDENCES: Final = (0.5, 0.2, 0.05, 1 / 60)
"""Shares of the requests."""

HEALTHY: Final = (
    Behaviour(name="slow health", says="health answers in 1.00 to 1.03 s", faults=("slow-health=1.03",)),
    Behaviour(
        name="health 503 when busy",
        says="during a prefill",
        faults=("health-fails-when-busy=15",),
        loads=LOADED,
        story=Story.DOCUMENTS,
    ),
    Behaviour(
        name="kernel compile",
        says="one step takes 30 to 70 s: that of a prompt of a new length",
        faults=("jit-stall=30..70",),
        story=Story.NEW_SHAPE,
    ),
    Behaviour(
        name="long prefill",
        says="a document takes 5 to 15 s to its first token, and stops everybody",
        faults=("long-prefill=5..15",),
        loads=LOADED,
        story=Story.DOCUMENTS,
    ),
    Behaviour(name="slow decode", says="a token takes a second", faults=("slow=1",)),
    Behaviour(
        name="model load of 10 minutes",
        says="somebody restarts it, and the model loads",
        faults=("slow-start=600",),
        story=Story.LOADS_AGAIN,
        seconds=900,
        unserved=True,
    ),
    Behaviour(name="full queue", says="turned away with 429 or 503", faults=("queue-full=429", "queue-full=503")),
    Behaviour(name="rejected", says="4xx to what is asked", faults=("rejects=400", "rejects=401", "rejects=422")),
    Behaviour(
        name="burst of 1,280",
        says="at once; most wait for minutes",
        faults=("burst",),
        loads=(LoadName.LIGHT,),
        story=Story.BURST,
        seconds=420,
    ),
    Behaviour(name="overload", says="more users than slots", faults=("busy",), loads=LOADED, story=Story.OVERLOAD),
    Behaviour(
        name="long answers",
        says="answers run for minutes",
        faults=("one-long-answer",),
        loads=(LoadName.LIGHT,),
        story=Story.LONG_ANSWERS,
    ),
    Behaviour(name="comments", says="bytes that are no progress", faults=("comments=5",)),
    Behaviour(
        name="asleep or paused by somebody",
        says="requests wait, by design",
        faults=("asleep-by-somebody", "paused-by-somebody"),
        unserved=True,
    ),
    Behaviour(name="unloaded", says="out of memory for idleness", faults=("unloaded",), loads=SILENT),
    Behaviour(
        name="no metrics",
        says="the page fails, is garbage or never comes",
        faults=("metrics-fail", "metrics-garbage", "metrics-silent"),
    ),
    Behaviour(
        name="odd models",
        says="random weights, base, reasoning, noisy numbers",
        faults=("repeats-by-nature", "cannot-echo", "reasons-first", "noisy-numbers"),
        seconds=600,
    ),
)
