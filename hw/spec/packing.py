"""Pack and unpack layouts in plain Python, with every value checked against its field.

``Struct.const()`` silently cuts a value that is too wide; models and drivers go through
here instead, so that hardware and software share one layout and no value is ever lost.
"""

from __future__ import annotations

from typing import Any

from amaranth import Shape
from amaranth.lib import data


def pack(layout: Any, values: dict[str, Any]) -> int:
    """The bits of ``values`` in ``layout``; fields left out are zero."""
    layout = data.Layout.cast(layout)
    known = {name for name, _ in layout}
    for name in values:
        if name not in known:
            raise KeyError(f"{name}: unknown field; there are {', '.join(sorted(known))}")
    word = 0
    for name, value in values.items():
        item = layout[name]
        if isinstance(item.shape, data.ArrayLayout):
            element = Shape.cast(item.shape.elem_shape).width
            number = sum(
                _checked(f"{name}[{index}]", entry, element) << (element * index)
                for index, entry in enumerate(value)
            )
        else:
            number = _checked(name, value, Shape.cast(item.shape).width)
        word |= number << item.offset
    return word


def unpack(layout: Any, word: int) -> dict[str, Any]:
    """The fields of ``word`` as plain integers; arrays become lists."""
    values: dict[str, Any] = {}
    for name, item in data.Layout.cast(layout):
        width = Shape.cast(item.shape).width
        number = (word >> item.offset) & ((1 << width) - 1)
        if isinstance(item.shape, data.ArrayLayout):
            element = Shape.cast(item.shape.elem_shape).width
            count = item.shape.length
            values[name] = [
                (number >> (element * index)) & ((1 << element) - 1) for index in range(count)
            ]
        else:
            values[name] = number
    return values


def _checked(name: str, value: Any, width: int) -> int:
    number = int(value)
    if not 0 <= number < 1 << width:
        raise ValueError(f"{name} = {number}: must be between 0 and {(1 << width) - 1}")
    return number
