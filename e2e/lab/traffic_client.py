"""Users of a model server, as a script for a pod: each request opens a connection of its own and reports one JSON line.

Standard library only, settings by environment: TARGET (host:port), MODEL, SECONDS, EVERY (between the starts of two
requests of one client), PARALLEL, PROMPT_WORDS, MAX_TOKENS, TIMEOUT (for the whole answer), PROMPTS
(so many different ones are asked again and again, and should be answered in the same words each time; 0: each its own).
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from typing import Any

TARGET = os.environ["TARGET"]
MODEL = os.environ["MODEL"]
SECONDS = float(os.environ.get("SECONDS", "60"))
EVERY = float(os.environ.get("EVERY", "0.5"))
PARALLEL = int(os.environ.get("PARALLEL", "1"))
PROMPT_WORDS = int(os.environ.get("PROMPT_WORDS", "8"))
MAX_TOKENS = int(os.environ.get("MAX_TOKENS", "8"))
TIMEOUT = float(os.environ.get("TIMEOUT", "5"))
PROMPTS = int(os.environ.get("PROMPTS", "0"))


def ask(identity: str, prompt: str) -> dict[str, Any]:
    """One streamed completion; success needs a token and a finish reason."""
    body = {
        "model": MODEL,
        "prompt": " ".join(f"word{n}-{prompt}" for n in range(PROMPT_WORDS)),
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    report: dict[str, Any] = {"id": identity, "prompt": prompt, "start": time.time()}
    report |= {"outcome": "cut", "tokens": 0, "text": ""}
    connection = http.client.HTTPConnection(TARGET, timeout=TIMEOUT)
    try:
        headers = {"Content-Type": "application/json", "X-Request-Id": identity, "User-Agent": "traffic"}
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        read(connection.getresponse(), report)
    except TimeoutError:
        report["outcome"] = "timeout"
    except ConnectionRefusedError:
        report["outcome"] = "refused"
    except (OSError, http.client.HTTPException, ValueError) as error:
        report["outcome"] = f"error: {type(error).__name__}"
    finally:
        connection.close()
    report["seconds"] = round(time.time() - report["start"], 3)
    return report


def read(response: http.client.HTTPResponse, report: dict[str, Any]) -> None:
    """Read the stream into the report."""
    report["status"] = response.status
    if response.status != http.client.OK:
        report["outcome"] = "http"
        return
    while line := response.readline():
        if time.time() - report["start"] > TIMEOUT:
            raise TimeoutError
        if not line.startswith(b"data: {"):
            continue
        for choice in json.loads(line[6:]).get("choices", []):
            # Half a UTF-8 character is a token with an empty text.
            if "text" in choice:
                report["tokens"] += 1
                report["text"] += choice["text"]
                report.setdefault("first", round(time.time() - report["start"], 3))
            if choice.get("finish_reason") in {"length", "stop"}:
                report["outcome"] = "ok"


def client(number: int, until: float) -> None:
    """One user: asks, waits, asks again."""
    count = 0
    while (begin := time.time()) < until:
        identity = f"traffic-{number}-{count}"
        prompt = f"prompt-{count % PROMPTS}" if PROMPTS else identity
        print(json.dumps(ask(identity, prompt)) + "\n", end="", flush=True)
        count += 1
        time.sleep(max(0.0, EVERY - (time.time() - begin)))


def main() -> None:
    until = time.time() + SECONDS
    threads = [threading.Thread(target=client, args=(number, until)) for number in range(PARALLEL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
