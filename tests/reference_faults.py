"""The tables of docs/faults.md, made from the code: `python -m tests.reference_faults` writes them into the page.

The prose between them is written by hand. A table stands between `<!-- made: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import ast
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from llm_watchdog.api import reasons
from llm_watchdog.api.document import camel
from llm_watchdog.api.limits import LimitReason, limits
from llm_watchdog.api.policy import EngineTarget, EngineTask, EngineType, ProbeCost, WatchdogPolicy
from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, UnknownReason
from llm_watchdog.api.thresholds import ChecksPolicy, Switch
from llm_watchdog.core.ladder import DEFAULTS
from tests.crds.reference import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"
TABLE = re.compile(r"(<!-- made: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def said_of(vocabulary: type[StrEnum]) -> dict[str, str]:
    """The sentence under each member. It is gone at run time, so it is read from the source."""
    tree = ast.parse(Path(str(reasons.__file__)).read_text())
    (body,) = (each.body for each in tree.body if isinstance(each, ast.ClassDef) and each.name == vocabulary.__name__)
    sentences: dict[str, str] = {}
    member = ""
    for line in body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)]):
                member = name
            case ast.Expr(value=ast.Constant(value=str(sentence))) if member:
                sentences[vocabulary[member].value] = " ".join(sentence.split())
    return sentences


def table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    made = ["| " + " | ".join(line) + " |\n" for line in (head, *lines)]
    return made[0] + "|" + "---|" * len(head) + "\n" + "".join(made[1:])


def classes() -> str:
    said = said_of(FaultClass)
    lines = (
        (f"[`{f}`](#{f.lower()})", said[f.value], ", ".join(f"`{rung}`" for rung in DEFAULTS[f])) for f in FaultClass
    )
    return table(("fault class", "what is wrong", "default ladder"), lines)


def reasons_of(fault: FaultClass) -> str:
    said = said_of(FindingReason)
    return table(("reason", "what was seen"), ((f"`{r}`", said[r.value]) for r in FindingReason if r in REASONS[fault]))


def fields_below(*path: str) -> str:
    """As docs/api.md has them, below one field of `spec.watchdog`."""
    crd = yaml.safe_load((ROOT / "crds" / "llmworkers.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in ("spec", "watchdog", *path):
        schema = schema["properties"][name]
    lines = ((field, default, text) for field, _, default, text in rows(schema, ".".join(path)))
    return table(("field of `spec.watchdog`", "default", ""), lines)


def unknown() -> str:
    return table(("reason", "meaning"), ((f"`{reason}`", text) for reason, text in said_of(UnknownReason).items()))


def engines() -> str:
    """With nothing in the spec but the type."""

    def lacks(engine: EngineType) -> str:
        return ", ".join(f"`{each.reason}`" for each in limits(EngineTarget(type=engine), WatchdogPolicy())) or "none"

    return table(("`engine.type`", "limits"), ((f"`{engine}`", lacks(engine)) for engine in EngineType))


def limits_in_words() -> str:
    """Every sentence once, whatever spec it is said of."""
    specs = [EngineTarget(type=engine, probe_cost=cost) for engine in EngineType for cost in ProbeCost]
    specs.append(EngineTarget(type=EngineType.VLLM, task=EngineTask.NONE))
    policies = [WatchdogPolicy(checks=ChecksPolicy(cross_talk=s, slots=s)) for s in (Switch.AUTO, Switch.ON)]
    said = dict.fromkeys(limit for spec in specs for policy in policies for limit in limits(spec, policy))
    order = list(LimitReason)
    lines = sorted(said, key=lambda limit: order.index(limit.reason))
    return table(("limit", "what it means"), ((f"`{limit.reason}`", limit.message) for limit in lines))


TABLES: dict[str, Callable[[], str]] = {
    "classes": classes,
    "unknown": unknown,
    "checks": partial(fields_below, "checks"),
    "engines": engines,
    "limits": limits_in_words,
    **{f"reasons {fault}": partial(reasons_of, fault) for fault in FaultClass},
    **{f"fields {fault}": partial(fields_below, "detectors", camel(fault.name.lower())) for fault in FaultClass},
}


def filled(page: str) -> str:
    """The page with its tables made anew. Raises KeyError for a table that nobody makes."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found['name']]()}{found[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
