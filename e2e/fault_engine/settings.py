"""The command line. vLLM's own spellings are taken too, so that a sample for vLLM needs another image only."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .faults import KINDS, UnknownFaultError, make_fault
from .limits import Limits

_DEFAULTS: Final = Limits()


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
    faults: tuple[tuple[str, str | None], ...]


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
        ),
        faults=tuple(parsed.fault),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fault_engine",
        description="A model server with vLLM's endpoints and metrics that can be told to be faulty.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(_fault_lines()),
    )
    add = parser.add_argument
    add("--host", default="0.0.0.0", help="default: %(default)s")
    add("--port", type=int, default=8000, help="0: any free one, named in the first line of the log")
    add("--control-port", type=int, help="faults are ordered and lifted there; without it only --fault")
    add("--model", "--served-model-name", default="tiny", help="the name it is served under (default: tiny)")
    add("--key", "--api-key", default=environment.get("VLLM_API_KEY"), help="needed for /v1/*")
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
    add("--fault", type=_fault, action="append", default=[], metavar="NAME[=ARG]", help="in force from the start")
    return parser


def _fault(text: str) -> tuple[str, str | None]:
    name, equals, argument = text.partition("=")
    order = (name, argument if equals else None)
    try:
        make_fault(*order)
    except UnknownFaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return order


def _fault_lines() -> list[str]:
    return [
        f"  {kind.name}{f'=<{kind.argument}>' if kind.argument else ''}\n      {kind.does}" for kind in KINDS.values()
    ]
