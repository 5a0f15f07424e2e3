"""An `LLMWorker` as the API server hands it out, validated once at the operator's border.

The engine and `spec.watchdog` are the watchdog's own records: here they only learn to read camelCase. Knows no client.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_watchdog.api.document import camel
from llm_watchdog.api.policy import EngineTarget, WatchdogPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping


class WorkerError(ValueError):
    """An object is no LLMWorker that this operator understands; the message names each field."""


class PowerState(StrEnum):
    """`spec.power.state`."""

    AWAKE = "Awake"
    ASLEEP = "Asleep"


class StrategyType(StrEnum):
    """`spec.strategy.type`, the Deployment's own words."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class ConditionStatus(StrEnum):
    """Of a standard condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Border(BaseModel):
    """Reads camelCase and ignores unknown fields, so that an older operator reads a newer object.

    pydantic hands this configuration on to the plain dataclasses used as fields.
    """

    model_config = ConfigDict(alias_generator=camel, validate_by_name=True, validate_by_alias=True, frozen=True)


class Metadata(Border):
    """What the operator uses of an object's metadata."""

    name: str
    namespace: str
    uid: str
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKeyRef:
    """A key in a Secret of the worker's own namespace."""

    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec(EngineTarget):
    """`spec.engine`: what the watchdog is told, and where its key for the engine lies."""

    api_key_secret_ref: SecretKeyRef | None = None

    def target(self) -> EngineTarget:
        """The part that goes into the policy document."""
        return EngineTarget(**{each.name: getattr(self, each.name) for each in fields(EngineTarget)})


class Power(Border):
    """Whether the engine should hold its weights in the accelerator's memory.

    Who says it says too that nobody else puts these engines to sleep.
    """

    state: PowerState | None = None
    level: Literal[1, 2] = 1


class RollingUpdate(Border):
    """Numbers or percentages, as in a Deployment."""

    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"


class Strategy(Border):
    """How a changed template reaches the pods."""

    type: StrategyType = StrategyType.ROLLING_UPDATE
    rolling_update: RollingUpdate | None = None


class LLMWorkerSpec(Border):
    """The wish. `template` is kept as it was written: the API server knows pod templates better."""

    replicas: Annotated[int, Field(ge=0)] = 1
    progress_deadline_seconds: Annotated[int, Field(ge=1)] = 3600
    strategy: Strategy = Strategy()
    power: Power = Power()
    engine: EngineSpec
    template: dict[str, Any]
    watchdog: WatchdogPolicy = WatchdogPolicy()


class Condition(Border):
    """A standard condition."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int | None = None
    last_transition_time: datetime


class LLMWorkerStatus(Border):
    """What the operator wrote last."""

    observed_generation: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    selector: str | None = None
    open_incidents: int | None = None
    conditions: list[Condition] = []


class LLMWorker(Border):
    """One object, immutable."""

    metadata: Metadata
    spec: LLMWorkerSpec
    status: LLMWorkerStatus = LLMWorkerStatus()

    @classmethod
    def from_object(cls, document: Mapping[str, Any]) -> Self:
        """Read what the API server returned. Raises WorkerError."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise WorkerError(_sentence(document, error)) from error


def _sentence(document: Mapping[str, Any], error: ValidationError) -> str:
    metadata = document.get("metadata") or {}
    faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False))
    return f"LLMWorker {metadata.get('namespace')}/{metadata.get('name')}: {faults}"
