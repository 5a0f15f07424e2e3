"""One fault as the catalogue describes it. Pure: a fault is data, and its effects are named."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from .effects import EFFECTS
from .effects.effect import Effect

DIALECTS: Final = (
    "vllm",
    "sglang",
    "llamacpp",
    "tgi",
    "ollama",
    "fastchat",
    "dbgpt",
    "lazyllm",
    "chatchat",
    "openai",
)
SEEN_BY: Final = ("canary", "metrics", "check", "nothing")
PLACEHOLDER: Final = "$"  # in an effect's parameters: the fault's argument


class CatalogueError(ValueError):
    """An entry that says what no fault can be."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What may be put behind the name: `--fault NAME=VALUE`."""

    says: str
    default: float | None = None
    choices: tuple[float, ...] = ()

    def read(self, text: str | None) -> float:
        """Raises ValueError."""
        if text in (None, ""):
            if self.default is None:
                raise ValueError(f"needs a number: {self.says}")
            return self.default
        value = float(str(text))
        if not 0 <= value < float("inf"):
            raise ValueError(f"needs a number that is not negative, got {text!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"needs one of {', '.join(f'{choice:g}' for choice in self.choices)}, got {text!r}")
        return value


@dataclass(frozen=True, slots=True)
class Begins:
    """What must have happened since the fault was ordered, before it is in force. All of it; nothing: at once."""

    after_requests: int = 0
    after_seconds: float = 0.0
    after_idle_seconds: float = 0.0
    """A request came after so long without any."""
    after_wake: bool = False
    after_aborts: int = 0
    after_prompt_tokens: int = 0
    """A request came with a prompt of so many."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Which requests it hits, once it is in force."""

    incidence: float = 1.0
    """The share of them, drawn by the request's id."""
    cached: str = ""
    """`any`: those alone whose prompt was found in the prefix cache; `before`: in blocks that were computed before the
    fault was in force, so that a flush is its cure."""
    beside: int = 0
    """Those alone that ran beside as many others."""
    one_in: int = 1
    """One in so many, drawn likewise."""
    first: int = 0
    """The first so many; 0: all."""


@dataclass(frozen=True, slots=True)
class FaultEntry:
    name: str
    does: str
    rows: tuple[str, ...]
    """Of the project's list of reports: A1 to A69 must be detected, F1 to F20 must not be mistaken for a fault."""
    sources: tuple[str, ...]
    seen_by: str
    effects: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    expected: str | None = None
    """The fault class; None where it is no fault."""
    also: tuple[str, ...] = ()
    """Other classes that would be right too, where it shows in several ways."""
    dialects: tuple[str, ...] = DIALECTS
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Dialects in which nothing shows it from outside, and why."""
    argument: Argument | None = None
    begins: Mapping[str, Any] = field(default_factory=dict)
    """`Begins`, where the argument may still have to be filled in."""
    hits: Mapping[str, Any] = field(default_factory=dict)
    """`Hits`, likewise."""
    needs: str = ""
    """What must be done beside it to see it: traffic, options of the engine. Empty: nothing but a look or a canary."""

    @property
    def part(self) -> str:
        """`A`: a fault. `B`: healthy, and easily mistaken."""
        return "A" if self.expected else "B"

    def make(self, argument: str | None) -> tuple[Effect, ...]:
        """The effects, new and in force for nobody yet. Raises ValueError."""
        value = self._value(argument)
        return tuple(EFFECTS[name](**_filled(parameters, value)) for name, parameters in self.effects)

    def beginning(self, argument: str | None) -> Begins:
        return Begins(**_filled(self.begins, self._value(argument)))

    def hitting(self, argument: str | None) -> Hits:
        return Hits(**_filled(self.hits, self._value(argument)))

    def _value(self, argument: str | None) -> float | None:
        if self.argument is not None:
            return self.argument.read(argument)
        if argument not in (None, ""):
            raise ValueError(f"takes no argument, got {argument!r}")
        return None

    def as_json(self) -> dict[str, Any]:
        """For benchmarks and other programs."""
        return {
            "name": self.name,
            "part": self.part,
            "rows": list(self.rows),
            "sources": list(self.sources),
            "expected": self.expected,
            "also": list(self.also),
            "seenBy": self.seen_by,
            "dialects": list(self.dialects),
            "unseenIn": dict(self.unseen),
            "argument": self.argument.says if self.argument else "",
            "default": self.argument.default if self.argument else None,
            "begins": dict(self.begins),
            "hits": dict(self.hits),
            "needs": self.needs,
            "does": self.does,
        }


def read_entry(name: str, document: Mapping[str, Any]) -> FaultEntry:
    """One table of the catalogue. Raises CatalogueError."""
    values = {key.replace("-", "_"): value for key, value in document.items()}
    try:
        entry = FaultEntry(
            name=name,
            does=values.pop("does"),
            rows=tuple(values.pop("rows")),
            sources=tuple(values.pop("sources")),
            seen_by=values.pop("seen_by"),
            expected=values.pop("expected", None),
            also=tuple(values.pop("also", ())),
            dialects=tuple(values.pop("dialects", DIALECTS)),
            needs=values.pop("needs", ""),
            unseen=values.pop("unseen_in", {}),
            effects=tuple(_effect(effect) for effect in values.pop("effects", ())),
            argument=Argument(**_named(values.pop("argument"))) if "argument" in values else None,
            begins=_named(values.pop("begins", {})),
            hits=_named(values.pop("hits", {})),
        )
    except (KeyError, TypeError) as error:
        raise CatalogueError(f"{name}: {error}") from error
    _check(entry, values)
    return entry


def _check(entry: FaultEntry, surplus: Mapping[str, Any]) -> None:
    wrong = [
        *surplus,
        *(name for name, _ in entry.effects if name not in EFFECTS),
        *(name for name in entry.dialects if name not in DIALECTS),
        *(name for name in entry.unseen if name not in entry.dialects),
        *(name for name in entry.begins if name not in {known.name for known in fields(Begins)}),
        *(name for name in entry.hits if name not in {known.name for known in fields(Hits)}),
        *([entry.seen_by] if entry.seen_by not in SEEN_BY else []),
    ]
    if wrong:
        raise CatalogueError(f"{entry.name}: there is no {', '.join(wrong)}")


def _effect(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    parameters = dict(document)
    return parameters.pop("effect"), _named(parameters)


def _named(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): _frozen(value) for key, value in document.items()}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _filled(parameters: Mapping[str, Any], value: float | None) -> dict[str, Any]:
    return {key: _number(value) if given == PLACEHOLDER else given for key, given in parameters.items()}


def _number(value: float | None) -> float | None:
    return int(value) if value is not None and value == int(value) else value
