"""Pieces of bash that the kernel has to write itself."""

import re

from soulbox_kernel.protocol import sound

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def quoted(text):
    """`text` as one word of bash. Raises ValueError if no word can hold it."""
    if "\0" in text:
        raise ValueError("bash cannot hold a NUL character")
    return "'" + sound(text).replace("'", "'\\''") + "'"


def checked(environment):
    """The variables of a request. Raises ValueError if bash cannot have one of them."""
    for name, value in environment.items():
        if not isinstance(value, (str, type(None))):
            raise ValueError(f"the value of variable {name!r} must be text")
        if not _NAME.fullmatch(name) or "\0" in (value or ""):
            raise ValueError(f"variable {name!r} cannot be set in bash: names are letters, digits and '_', "
                             "and values hold no NUL")
    return environment


def change(environment):
    """Code that sets variables from now on; None takes one away."""
    return "\n".join(_one(name, value) for name, value in environment.items())


def _one(name, value):
    if value is None:
        return f"builtin unset -v {name}"
    return f"builtin export {name}={quoted(value)}"


def lend(environment):
    """Code that sets variables until `give_back`."""
    lines = ["__soulbox_before=()"]
    for at, (name, value) in enumerate(environment.items()):
        lines.append(f"if [[ -v {name} ]]; then __soulbox_before[{at}]=${{{name}@A}}; else __soulbox_before[{at}]=; fi")
        lines.append(_one(name, value))
    return "\n".join(lines)


def give_back(environment):
    """Code that brings back what was before `lend`."""
    lines = []
    for at, name in enumerate(environment):
        lines += [f"builtin unset -v {name}", f'builtin eval "${{__soulbox_before[{at}]-}}"']
    return "\n".join([*lines, "builtin unset -v __soulbox_before"])
