"""Small mistakes, put into the description of hardware one at a time."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

BINARY = {
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitXor: ast.BitAnd,
}
COMPARISONS = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
CONDITIONS = {"If", "Elif"}


@dataclass(frozen=True)
class Mutant:
    """One change of one expression of a file."""

    file: str
    line: int
    before: str
    after: str
    source: str
    """The whole file with the change."""

    @property
    def name(self) -> str:
        """Stays the same while the expression and its surroundings do: without the line."""
        return f"{self.file}: {self.before} -> {self.after}"


def mutants(file: str, source: str) -> list[Mutant]:
    """Every change that can be made to what becomes gates in ``source``."""
    found = []
    tree = ast.parse(source)
    for site in _gates(tree):
        for node in ast.walk(site):
            for change in _changes(node):
                found.append(_make(file, source, node, change))
    unique = {(item.line, item.name): item for item in found}
    return list(unique.values())


def choose(candidates: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """``count`` of them, as ``seed`` draws them; one that is no longer a candidate is replaced by
    another, and the rest stay."""

    def lot(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed}/{mutant.name}".encode()).digest()

    return sorted(sorted(candidates, key=lot)[:count], key=lambda m: m.line)


def _gates(tree: ast.AST) -> Iterator[ast.AST]:
    """Arguments of ``.eq(...)`` and of ``m.If(...)``: values of signals, not of Python."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            owner = node.func.value
            conditional = name in CONDITIONS and isinstance(owner, ast.Name) and owner.id == "m"
            if (name == "eq" or conditional) and node.args:
                yield node.args[0]
                if conditional and not isinstance(node.args[0], ast.Constant):
                    yield _Dropped(node.args[0])


class _Dropped(ast.expr):
    """Stands for a whole condition that is to go."""

    _fields = ()

    def __init__(self, condition: ast.expr) -> None:
        super().__init__()
        self.condition = condition


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, _Dropped):
        yield node.condition, ast.Constant(1)
    elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        yield node, ast.BinOp(node.left, BINARY[type(node.op)](), node.right)
        if isinstance(node.op, (ast.Add, ast.Sub)) and isinstance(node.right, ast.Constant):
            yield node, node.left
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        swapped = COMPARISONS[type(node.ops[0])]()
        yield node, ast.Compare(node.left, [swapped], node.comparators)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield node, node.operand


def _make(file: str, source: str, node: ast.AST, change: tuple[ast.expr, ast.expr]) -> Mutant:
    old, new = change
    lines = source.splitlines(keepends=True)
    starts = [0]
    for text in lines:
        starts.append(starts[-1] + len(text.encode()))
    raw = source.encode()
    begin = starts[old.lineno - 1] + old.col_offset
    end = starts[old.end_lineno - 1] + old.end_col_offset  # type: ignore[operator]
    after = ast.unparse(new)
    changed = raw[:begin] + f"({after})".encode() + raw[end:]
    return Mutant(file, old.lineno, ast.unparse(old), after, changed.decode())
