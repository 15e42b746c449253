"""Values as plain JSON: what every JSON reader takes, whatever a cell made."""

import datetime
import enum
import math
import uuid

DEPTH_LIMIT = 100
"""Nesting of a value. Common JSON readers stop at 128, and the frame around it counts too."""

VALUES_LIMIT = 1_000_000
"""Values in one result's structured form, about 20 MB of JSON. Beyond, text has to do."""

_INTEGERS = range(-(2**63), 2**64)


class NotPlain(Exception):
    """The value has no JSON form: its type, or it is too deep."""


class TooManyValues(NotPlain):
    """The value has more than `VALUES_LIMIT` parts."""

    def __init__(self):
        super().__init__(f"has more than {VALUES_LIMIT} values")


class _Walk:
    def __init__(self, otherwise):
        self.otherwise = otherwise
        self.left = VALUES_LIMIT

    def value(self, value, depth):
        self.left -= 1
        if self.left < 0:
            raise TooManyValues
        if value is None or value is True or value is False:
            return value
        if isinstance(value, enum.Enum):
            return self.value(value.value, depth - 1) if depth else self._too_deep()
        if isinstance(value, str):
            return str(value)
        if isinstance(value, int):
            return _number(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if depth <= 0:
            self._too_deep()
        if isinstance(value, dict):
            return {self.key(key): self.value(part, depth - 1) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(part, depth - 1) for part in value]
        return self._rarer(value, depth)

    def _rarer(self, value, depth):
        if isinstance(value, (datetime.date, datetime.time)):
            # pandas' "not a time" is a datetime that differs from itself.
            return value.isoformat() if value == value else None
        if isinstance(value, uuid.UUID):
            return str(value)
        kind = type(value)
        if kind.__module__ == "numpy" and hasattr(value, "tolist"):
            inner = value.tolist()
            if type(inner) is not kind:
                return self.value(inner, depth - 1)
        if kind.__name__ == "NAType":
            return None
        fields = getattr(kind, "__dataclass_fields__", None)
        if fields:
            return {name: self.value(getattr(value, name), depth - 1) for name in fields}
        if self.otherwise is None:
            raise NotPlain(f"{kind.__name__} has no JSON form")
        return self.otherwise(value)

    def key(self, key):
        if isinstance(key, enum.Enum):
            key = key.value
        if isinstance(key, str):
            return str(key)
        if key is None or isinstance(key, (bool, int, float)):
            return {None: "null", True: "true", False: "false"}.get(key) if key is None or isinstance(key, bool) \
                else str(key)
        if isinstance(key, (datetime.date, datetime.time)):
            return key.isoformat()
        if isinstance(key, uuid.UUID) or self.otherwise is not None:
            return str(key)
        if type(key).__module__ == "numpy" and hasattr(key, "item"):
            return self.key(key.item())
        raise NotPlain(f"a key of type {type(key).__name__} has no JSON form")

    @staticmethod
    def _too_deep():
        raise NotPlain(f"nested deeper than {DEPTH_LIMIT}")


def _number(value):
    """An integer as JSON readers can hold it: beyond 64 bits as a float, beyond that as null."""
    value = int(value)
    if value in _INTEGERS:
        return value
    try:
        return float(value)
    except OverflowError:
        return None


def plain(value, otherwise=None):
    """A copy of `value` made of dict, list, str, numbers, bool and None only.

    NaN and infinities become None, keys become text. Types without a JSON form are handed to
    `otherwise`, which must return text; without it they raise `NotPlain`.
    """
    return _Walk(otherwise).value(value, DEPTH_LIMIT)
