"""The command line. vLLM's own spellings are taken too, so that a sample for vLLM needs another image only."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from .faults import FAULTS, UnknownFaultError, make_fault
from .faults.entry import DIALECTS
from .limits import Limits
from .model import ModelKind
from .traffic_load import NO_TRAFFIC, TrafficLoad

_DEFAULTS: Final = Limits()


@dataclass(frozen=True, slots=True)
class FaultAsked:
    """`NAME[=ARG][@INCIDENCE]`."""

    name: str
    argument: str | None = None
    incidence: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    host: str
    port: int
    control_port: int | None
    model: str
    key: str | None
    load_tracking: bool
    dev_mode: bool
    keep_alive_on_engine_death: bool
    limits: Limits
    faults: tuple[FaultAsked, ...]
    dialect: str = "vllm"
    model_kind: ModelKind = ModelKind.ECHO
    prompt_details: bool = False
    memory_saver: bool = False
    max_concurrent: int = 128
    background: TrafficLoad = NO_TRAFFIC


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    parsed = _parser(environment).parse_args(arguments)
    return Settings(
        host=parsed.host,
        port=parsed.port,
        control_port=parsed.control_port,
        model=parsed.model,
        key=parsed.key,
        load_tracking=parsed.load_tracking,
        dev_mode=environment.get("VLLM_SERVER_DEV_MODE") == "1",
        keep_alive_on_engine_death=environment.get("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH") == "1",
        limits=Limits(
            max_num_seqs=parsed.max_num_seqs,
            max_model_len=parsed.max_model_len,
            token_seconds=parsed.token_seconds,
            prefill_token_seconds=parsed.prefill_token_seconds,
            startup_seconds=parsed.startup_seconds,
            noise=parsed.logprob_noise,
            seed=parsed.seed,
        ),
        faults=tuple(parsed.fault),
        dialect=parsed.dialect,
        model_kind=parsed.model_kind,
        prompt_details=parsed.prompt_details,
        memory_saver=parsed.memory_saver,
        max_concurrent=parsed.max_concurrent_requests or parsed.max_num_seqs,
        background=TrafficLoad(streams=parsed.background),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fault_engine",
        description="A model server in the dialect of your choice that can be told to be faulty.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(_fault_lines()),
    )
    add = parser.add_argument
    add("--host", default="0.0.0.0", help="default: %(default)s")
    add("--port", type=int, default=8000, help="0: any free one, named in the first line of the log")
    add("--control-port", type=int, help="faults are ordered and lifted there; without it only --fault")
    add("--model", "--served-model-name", default="tiny", help="the name it is served under (default: tiny)")
    add("--key", "--api-key", default=environment.get("VLLM_API_KEY"), help="needed for /v1/*")
    add("--dialect", choices=DIALECTS, default="vllm", help="whose endpoints, framing and metrics (default: vllm)")
    add(
        "--model-kind",
        type=ModelKind,
        choices=list(ModelKind),
        default=ModelKind.ECHO,
        help="what the model can do (default: echo)",
    )
    add("--logprob-noise", type=float, default=0.0, help="in nats: a GPU's batches give about 0.05 (default: none)")
    add("--seed", type=int, default=0, help="of that noise")
    add("--background", type=int, default=0, metavar="N", help="so many users, each in a connection of its own")
    add("--list-faults", action=_ListFaults, help="as JSON, and end")
    add("--startup-seconds", type=float, default=_DEFAULTS.startup_seconds, help="the port is refused so long")
    add("--max-num-seqs", type=int, default=_DEFAULTS.max_num_seqs, help="slots")
    add("--max-model-len", type=int, default=_DEFAULTS.max_model_len, help="tokens of prompt and answer")
    add("--token-seconds", type=float, default=_DEFAULTS.token_seconds, help="one step of all running requests")
    add("--prefill-token-seconds", type=float, default=_DEFAULTS.prefill_token_seconds, help="by prompt token")
    add(
        "--enable-server-load-tracking",
        dest="load_tracking",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="without it /load is always 0, as in vLLM",
    )
    add(
        "--enable-prompt-tokens-details",
        dest="prompt_details",
        action="store_true",
        help="the usage tells cached tokens",
    )
    add(
        "--enable-memory-saver",
        dest="memory_saver",
        action="store_true",
        help="sglang: says so, and dies of a release while busy and of a second resume, as the real one does",
    )
    add(
        "--max-concurrent-requests",
        "--limit-worker-concurrency",
        type=int,
        help="permits of the web server, in the dialects that have them (default: as many as slots)",
    )
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME[=ARG][@SHARE]",
        help="in force from the start",
    )
    return parser


class _ListFaults(argparse.Action):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"nargs": 0})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        sys.stdout.write(json.dumps([entry.as_json() for entry in FAULTS.values()], indent=1) + "\n")
        parser.exit()


def _fault(text: str) -> FaultAsked:
    order, at, share = text.partition("@")
    name, equals, argument = order.partition("=")
    asked = FaultAsked(name, argument if equals else None, _share(share) if at else None)
    try:
        make_fault(asked.name, asked.argument)
    except UnknownFaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return asked


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"a share between 0 and 1 is needed, got {text}")
    return share


def _fault_lines() -> list[str]:
    return [
        f"  {entry.name}{f'=<{entry.argument.says}>' if entry.argument else ''}\n      {entry.does}"
        for entry in FAULTS.values()
    ]
