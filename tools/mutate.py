"""Small changes of a program, one place at a time: an operator, a constant, an argument, a call that is left out.

Written for answers of a few lines of torch. A general tool changes files and runs a suite for each; here the dropped
``detach`` and the wrong axis matter, and a mutant is a string.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
NOT_SYMMETRIC = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
# Functions and methods without which their argument still has a shape that may pass.
LEFT_OUT = {
    *("abs", "clamp", "clamp_", "clone", "contiguous", "cpu", "cumsum", "detach", "double", "eval", "exp"),
    *("expand_as", "flip", "float", "log", "log2", "log_softmax", "long", "relu", "requires_grad_", "round"),
    *("softmax", "sqrt", "square", "to", "type_as"),
}
PAIRS = (
    "sum mean, argmin argmax, min max, amin amax, log log2, ceil floor, softmax log_softmax, any all, tril triu, "
    "eval train, zeros ones, zeros_like ones_like, abs square"
)
EXCHANGED = {one: other for pair in PAIRS.split(", ") for a, b in [pair.split()] for one, other in ((a, b), (b, a))}
LIBRARIES = ("torch", "F", "math", "np")


class Mutant(NamedTuple):
    """A changed program: what was changed, in one line that no other mutant of it has, and the source."""

    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every program that differs from this one in one place."""
    tree = ast.parse(source)
    seen, told = {ast.unparse(tree)}, Counter[str]()
    for place, node in enumerate(ast.walk(tree)):
        for number, _ in enumerate(_changes(node)):
            changed = copy.deepcopy(tree)
            old = list(ast.walk(changed))[place]
            new = list(_changes(old))[number]
            before = _short(old)
            _replace(changed, old, new)
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text in seen:
                continue
            seen.add(text)
            change = f"{before} -> {_short(new)}"
            told[change] += 1
            yield Mutant(change if told[change] == 1 else f"{change} ({told[change]})", text)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node."""
    match node:
        case ast.BinOp(left, operator, right):
            yield from (ast.BinOp(left, other(), right) for other in OPERATORS.get(type(operator), ()))
            if isinstance(operator, NOT_SYMMETRIC):
                yield ast.BinOp(right, operator, left)
            yield from (left, right)
        case ast.BoolOp(operator, values):
            yield from (ast.BoolOp(other(), values) for other in OPERATORS[type(operator)])
            yield from values
        case ast.Compare(left, [operator], right):
            yield from (ast.Compare(left, [other()], right) for other in OPERATORS[type(operator)])
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Constant(value):
            yield from (ast.Constant(other) for other in _constants(value))
        case ast.Call():
            yield from _calls(node)
        case ast.Subscript(value):
            yield value
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.Tuple([first, second], ast.Load()):
            yield ast.Tuple([second, first], ast.Load())
        case ast.AugAssign(target, operator, value):
            yield from (ast.AugAssign(target, other(), value) for other in OPERATORS.get(type(operator), ()))
            yield ast.Assign([target], value, lineno=1)
        case ast.Expr(ast.Constant()):  # a docstring
            return
        case ast.Break() | ast.Continue() | ast.Expr():
            yield ast.Pass()


def _constants(value: object) -> tuple[object, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return value + 1, value - 1
    return (value * 2, value / 2, -value) if isinstance(value, float) else ()


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Attribute):
        owner, name = node.func.value, node.func.attr
        if name in LEFT_OUT:
            of_library = isinstance(owner, ast.Name) and owner.id in LIBRARIES
            yield node.args[0] if of_library and node.args else owner
        if name in EXCHANGED:
            yield ast.Call(ast.Attribute(owner, EXCHANGED[name], ast.Load()), node.args, node.keywords)
    for left in range(len(node.args) - 1):
        swapped = [*node.args[:left], node.args[left + 1], node.args[left], *node.args[left + 2 :]]
        yield ast.Call(node.func, swapped, node.keywords)
    for dropped in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, node.keywords[:dropped] + node.keywords[dropped + 1 :])


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list):
                value[:] = [new if item is old else item for item in value]


def _short(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:70]
