"""A fault engine as a real process, and the little that its tests ask of it."""

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

CHECKOUT = Path(__file__).parents[2]
DEADLINE_SECONDS = 20

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; httpx would load all certificates for each client
http = httpx.Client(verify=NO_TLS, trust_env=False, timeout=DEADLINE_SECONDS)


class EngineProcess:
    def __init__(self, folder: Path, *arguments: str, serving: bool = True, **environment: str) -> None:
        self._log = folder / f"engine-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "e2e.fault_engine", "--host", "127.0.0.1", "--port", "0"]
        settings = {"VLLM_SERVER_DEV_MODE": "1", "PYTHONPATH": str(CHECKOUT)} | environment
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--control-port", "0", *arguments], stdout=log, stderr=log, env=os.environ | settings
            )
        self.control_url = f"http://127.0.0.1:{self.wait_event('control')['port']}"
        if serving:
            self.wait_serving()

    def wait_serving(self) -> None:
        served = self.wait_event("serving")
        self.url = f"http://127.0.0.1:{served['port']}"
        self.core_pid = int(served["engine_core"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == kind]

    def wait_event(self, kind: str) -> dict[str, Any]:
        eventually(lambda: bool(self.events(kind)) or self.process.poll() is not None)
        return self.events(kind)[0]

    def log(self) -> str:
        return self._log.read_text()

    def order(self, name: str, argument: float | None = None) -> None:
        http.put(f"{self.control_url}/faults", json={"name": name, "arg": argument}).raise_for_status()

    def lift(self) -> None:
        http.delete(f"{self.control_url}/faults").raise_for_status()

    def metric(self, series: str) -> float:
        """One sample, named without `vllm:` and the labels that all have; a label of its own in braces."""
        name, _, label = series.partition("{")
        for line in http.get(f"{self.url}/metrics").text.splitlines():
            if re.match(rf"vllm:{name}\{{", line) and label.rstrip("}") in line:
                return float(line.rpartition(" ")[2])
        raise KeyError(series)

    def load(self) -> int:
        return int(http.get(f"{self.url}/load").json()["server_load"])

    def signal_core(self, number: signal.Signals) -> None:
        os.kill(self.core_pid, number)

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Stream:
    """A streamed completion that is read as it comes."""

    def __init__(self) -> None:
        self.status = 0
        self.events: list[str] = []
        self.finished = False

    @property
    def tokens(self) -> int:
        chunks = [json.loads(event) for event in self.events if event != "[DONE]"]
        return sum(len(choice["token_ids"]) for chunk in chunks for choice in chunk.get("choices", ()))

    async def read(self, response: httpx.Response) -> None:
        self.status = response.status_code
        async for line in response.aiter_lines():
            if line:
                self.events.append(line.removeprefix("data: "))
        self.finished = True


@asynccontextmanager
async def streaming(engine: EngineProcess, **body: Any) -> AsyncIterator[Stream]:
    """Leaving the block hangs up."""
    asked = {"prompt": "tell of the sea", "stream": True, "ignore_eos": True, "return_token_ids": True} | body
    stream = Stream()
    async with (
        httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=DEADLINE_SECONDS) as client,
        client.stream("POST", f"{engine.url}/v1/completions", json=asked) as response,
    ):
        reading = asyncio.create_task(stream.read(response))
        try:
            await asyncio.sleep(0)
            yield stream
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def complete(engine: EngineProcess, **body: Any) -> httpx.Response:
    asked = {"prompt": "tell of the sea", "temperature": 0, "max_tokens": 3} | body
    return http.post(f"{engine.url}/v1/completions", json=asked)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


async def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)
