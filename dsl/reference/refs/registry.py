"""The operators: what the catalogue says of each one, and the calls whose values are the golden outputs.

A `Case` is a call as it stands in a strategy and the function that computes it from a data set. That function returns a list
with one number (or None, absent) per row, or a dict of such lists, one per named result.
"""
from dataclasses import dataclass, field

#: Data sets a second case of an operator is computed on: ordinary values, and holes.
SECOND = ("walk", "gap")


@dataclass
class Case:
    call: str
    value: object
    #: Number of present input ticks until the first value on `walk`; None: depends on the data.
    ready: object = None


@dataclass
class Operator:
    module: str
    name: str
    signature: str
    result: str
    clock: str
    ready: str
    seed: str
    cost: str
    numerics: str
    reference: str
    kind: str
    cases: list = field(default_factory=list)
    #: Every case on every data set.
    wide: bool = False


OPERATORS = []


def op(module, name, signature, result, clock, ready, seed, cost, numerics, reference, cases, kind="bars", wide=False):
    """Registers an operator. `cases` holds (call, function, ready)."""
    if any(o.module == module and o.name == name for o in OPERATORS):
        raise ValueError(f"{module}.{name} is registered twice")
    OPERATORS.append(
        Operator(module, name, signature, result, clock, ready, seed, cost, numerics, reference, kind, [Case(*c) for c in cases], wide)
    )
