"""Does a cell reach into what judges it? Said from its syntax tree, so that aliases and line breaks hide nothing.

Whether it meant harm a person must say. Who is determined finds a way that is not looked for here.
"""

import ast
import copy
import re
import sys
from collections.abc import Collection, Iterable
from typing import NamedTuple

from vqvae_course.assignments.submission import bound_by, python_of

CHECK = ("vqvae_course.check", "vqvae_course.checks.check")
JUDGES = ("vqvae_course.checks", "vqvae_course.assignments", "tests", "nbgrader")
RUNS = "runs another program"
FRAMES = "reaches into the frames of those who call it"
IMPORTS = "changes or goes around imports"
FROM_TEXT = "runs code that stands in a text"
RESULTS = "changes what torch's functions say of a result"
# Modules and parts of modules that an answer has no business with. One with a star stands for all that begin so.
FOREIGN = {
    **dict.fromkeys(("importlib", "imp", "runpy", "pkgutil", "sys.modules", "sys.meta_path", "sys.path*"), IMPORTS),
    **dict.fromkeys(("sys._getframe", "sys._current_frames", "sys.settrace", "sys.setprofile"), FRAMES),
    **dict.fromkeys(("threading.settrace*", "threading.setprofile*"), FRAMES),
    **dict.fromkeys(("inspect.currentframe", "inspect.stack", "inspect.trace", "inspect.getouterframes"), FRAMES),
    **dict.fromkeys(("subprocess", "pty", "os.system", "os.popen", "os.exec*", "os.spawn*", "os.posix_spawn*"), RUNS),
    **dict.fromkeys(("os.fork*", "os.kill*", "os._exit", "os.abort", "signal"), "stops processes, or their time limit"),
    **dict.fromkeys(("multiprocessing", "concurrent.futures.ProcessPoolExecutor"), RUNS),
    **dict.fromkeys(("torch.multiprocessing.spawn", "torch.multiprocessing.Process"), RUNS),
    **dict.fromkeys(
        ("unittest.mock", "mock", "_pytest", "pytest.MonkeyPatch"), "is made to replace parts of other code"
    ),
    **dict.fromkeys(("ctypes", "_ctypes", "gc.get_objects", "gc.get_refer*"), "finds objects that nobody gave to it"),
    **dict.fromkeys(("pickle.loads", "doctest", "cProfile.run*", "profile.run*", "pytest.main"), FROM_TEXT),
    "atexit": "runs code after the notebook has ended",
    "sqlite3": "opens databases, such as the one with everybody's points",
    **dict.fromkeys(("builtins", "types.FunctionType", "types.CodeType", "marshal", "code"), "changes what Python is"),
    **dict.fromkeys(("torch.overrides", "torch.utils._python_dispatch", "torch.library.Library", "torch._C"), RESULTS),
    **dict.fromkeys(("linecache", "dis"), "reads source that it was not given"),
    "IPython": "controls the notebook",
}
# Parts of what is foreign that are for everybody.
FOR_ALL = ("IPython.display", "IPython.__version__", "importlib.metadata")
WITHIN = ("os", "sys", "builtins", "subprocess", "importlib", "ctypes")  # modules that others hold as well: torch.os
SOURCE_OF = {"getsource", "getsourcelines", "getsourcefile", "getfile", "getmodule", "getabsfile"}
BUILTINS = {
    **dict.fromkeys(("exec", "eval", "compile"), FROM_TEXT),
    **dict.fromkeys(("globals", "__builtins__"), "changes names from outside"),
    **dict.fromkeys(("__import__", "__loader__", "__spec__"), IMPORTS),
    "get_ipython": "controls the notebook",
}
INSIDE = {  # attributes through which one gets from a function to where it stands
    *("__globals__", "__code__", "__closure__", "__defaults__", "__kwdefaults__", "__builtins__", "__subclasses__"),
    *("__loader__", "__spec__", "__wrapped__", "cell_contents", "co_code", "f_globals", "f_locals", "f_back", "f_code"),
    *("f_builtins", "gi_frame", "cr_frame", "tb_frame"),
}
MAY_BE_READ = {"__defaults__", "__kwdefaults__"}
OF_CODE = {"co_varnames", "co_argcount", "co_kwonlyargcount", "co_posonlyargcount", "co_name"}  # may be read
DUNDER = re.compile(r"__\w+__")
OF_MODULES = {"__version__", "__name__", "__doc__"}  # may be read by any means
BY_NAME = {"torch", "torch.nn", "torch.nn.functional", "torch.optim", "math", "numpy"}  # getattr(F, name) is usual
JUDGING = {"isclose", "allclose", "equal", "array_equal", "assert_close", "isfinite", "isnan", "all", "any", "abs"}
FILES = {"__file__", "__path__", "__cached__"}
OVERRIDES = {"__torch_function__", "__torch_dispatch__"}
SECRETS = re.compile(
    r"sealed_answers|vqvae_course[./\\]+(checks|assignments)|tests[./\\]+checks|NBGRADER_|VQVAE_COURSE_STRICT|"
    r"gradebook|(^|[/\\])(submitted|autograded)([/\\]|$)|\.\.[/\\]\*"
)
ONLY_LOOK = {"print", "help", "dir", "id", "type", "repr", "str", "hasattr", "getattr", "isinstance", "callable"}
SETTINGS = ("torch.backends.*", "pandas.options.*")  # made to be set
MAGICS = {
    *("time", "timeit", "prun", "capture", "matplotlib", "config", "precision", "who", "xmode", "pprint"),
    *("pinfo", "html", "latex", "markdown", "svg", "lsmagic", "quickref", "pdoc", "pdef", "pwd"),
    *("whos", "debug", "autoreload", "javascript", "js"),  # codespell:ignore whos
}
HARMLESS = {  # lines of magics that would be reported otherwise
    "env": re.compile(r"\w*"),
    "load_ext": re.compile(r"autoreload"),
    **dict.fromkeys(("pip", "pip3", "conda", "mamba"), re.compile(r"(show|list|freeze)\b[^;&|<>$`]*")),
}
ONLY_SHOWS = re.compile(r"(nvidia-smi|ls|pwd|cat /proc/(cpu|mem)info|pip3? (show|list|freeze))(?!\S)[^;&|<>$`{]*")
# Of %timeit and the like.
OPTIONS = re.compile(r"^(\s*(--[\w-]+|-[lsTD]\s+\S+|-[a-zA-Z]+(\s*\d+)?|-[nrp]\s*\{\w+\}))*(?!\S)")
AROUND_PYTHON = {"time", "timeit", "prun", "capture"}
SHOW_SOURCE = {"pinfo2", "psource", "pfile", "pycat"}
INSTALL = {"pip", "pip3", "conda", "mamba", "micromamba", "uv"}
IN_TEXT = re.compile(
    r"vqvae_course\.(checks|assignments)|sys\.modules|__\w*(globals|code|closure|builtins|import)__|f_back|_getframe|"
    r"unittest\.mock|importlib|subprocess|os\.(system|_exit|popen)|get_ipython|^\s*(check\s*=[^=]|def check\b)|"
    r"^\s*%?%?(bash|sh|run|load_ext)\b|^\s*[!%]\s*(pip|conda)|sealed_answers|getsource|\b(exec|globals|setattr)\(",
)
GETTERS = ("__getattribute__", "__getattr__", "__setattr__", "__delattr__")
SHOWN = 70  # characters of a line


class Reach(NamedTuple):
    """A place where a cell reaches too far.

    Attributes:
        line: Of the cell, from 1.
        code: What stands there.
        why: What it does, as "it ...".
    """

    line: int
    code: str
    why: str


class Watch:
    """Looks at the cells of a notebook one after the other, and remembers what their names stand for.

    What the released notebook takes from the checks, such as the patients of the bug clinic, is open to answers.

    Args:
        released: Sources of the released cells that are no checks.
    """

    def __init__(self, released: Iterable[str] = ()):
        self._names: dict[str, str | None] = {"check": CHECK[0]}
        self._imports: set[str] = set()
        self._open: set[str] = set()
        for source in released:
            try:
                visitor = _Visitor(source, self._names)
                visitor.visit(python_of(source))
            except (SyntaxError, RecursionError):
                continue
            self._imports |= visitor.imports
            self._open |= visitor.used

    def look(self, source: str) -> list[Reach]:
        """Return where the next code cell reaches too far."""
        try:
            visitor = _Visitor(source, self._names, self._imports, self._open)
            visitor.visit(python_of(source))
        except (SyntaxError, RecursionError):  # it does not run either, so a look at its words must do
            return _by_words(source)
        return sorted(visitor.found)


def _by_words(source: str) -> list[Reach]:
    return [
        Reach(number, line.strip()[:SHOWN], "says what an answer need not say")
        for number, line in enumerate(source.splitlines(), 1)
        if IN_TEXT.search(line)
    ]


def within(path: str, places: Iterable[str]) -> str | None:
    """Return the first of some dotted places that a dotted path lies in."""
    for place in places:
        if path.startswith(place[:-1]) if place.endswith("*") else path == place or path.startswith(f"{place}."):
            return place
    return None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr | ast.BinOp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _tail(node: ast.AST) -> str:
    """Return the end of an expression from a module that others hold as well: ``x().sys.settrace`` is sys.settrace."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        if node.attr in WITHIN:
            return ".".join(parts) if len(parts) > 1 else ""
        node = node.value
    return ""


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    starred = filter(None, (arguments.vararg, arguments.kwarg))
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


class _Scope(NamedTuple):
    names: dict[str, str | None]  # dotted paths of what was imported; None stands for anything else
    kind: str = "function"  # or "class", whose names its methods do not see, or "comprehension"


class _Visitor(ast.NodeVisitor):
    """Follows what names stand for, and notes what reaches too far."""

    def __init__(
        self,
        source: str,
        names: dict[str, str | None],
        imports: Collection[str] = (),  # of the checks, which are open
        is_open: Collection[str] = (),  # parts of the checks
    ):
        self.found: set[Reach] = set()
        self.imports: set[str] = set()  # of the checks
        self.used: set[str] = set()  # parts of the checks
        self._lines = source.replace("\r\n", "\n").split("\n")
        self._scopes = [_Scope(names)]
        self._imports, self._open = imports, is_open

    def _say(self, node: ast.AST, why: str) -> None:
        line = self._lines[node.lineno - 1].strip() if node.lineno <= len(self._lines) else ""
        self.found.add(Reach(node.lineno, line if len(line) <= SHOWN else line[:SHOWN] + " ...", why))

    # --- names

    def _lookup(self, name: str) -> tuple[bool, str | None]:
        """Say whether the notebook has given a name a value, and which import it stands for."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if name in scope.names and not (scope.kind == "class" and depth):
                return True, scope.names[name]
        return False, None

    def _bind(self, node: ast.AST, name: str, path: str | None) -> None:
        if len(self._scopes) == 1 and name == "check" and path not in CHECK:
            self._say(node, "gives the name check to something else")
        if name in OVERRIDES:
            self._say(node, RESULTS)
        self._scopes[-1].names[name] = path

    def _path(self, node: ast.AST | None) -> str | None:
        """Return the dotted path of what was imported, if an expression stands for that."""
        match node:
            case ast.Name():
                return self._lookup(node.id)[1]
            case ast.Attribute():
                base = self._path(node.value)
                return base and f"{base}.{node.attr}"
            case ast.Call(func=ast.Name(id="getattr"), args=[value, name, *_]):
                base = self._path(value)
                return base and f"{base}.{name.value if isinstance(name, ast.Constant) else '?'}"
            case ast.NamedExpr() | ast.Starred():
                return self._path(node.value)
            case ast.IfExp():
                return self._path(node.body) or self._path(node.orelse)
            case ast.BoolOp():
                return self._first(node.values)
            case ast.Subscript(value=ast.Tuple() | ast.List() | ast.Set() as several):
                return self._first(several.elts)
            case ast.Subscript(value=ast.Dict() as several):
                return self._first(several.values)
        return None

    def _first(self, nodes: Iterable[ast.AST]) -> str | None:
        return next(filter(None, map(self._path, nodes)), None)

    def _is_module(self, path: str | None) -> bool:
        return path is not None and (path in sys.modules or "." not in path)

    # --- what may not be touched

    def _foreign(self, path: str) -> str:
        """Return what a use of this part of a module does that no answer should; empty if nothing."""
        place = within(path, FOREIGN)
        return FOREIGN[place] if place and path != "IPython" and not within(path, FOR_ALL) else ""

    def _used(self, node: ast.AST, path: str) -> None:
        if path in CHECK or within(path, CHECK):
            self._say(node, "uses check in another way than to call it")
        elif within(path, JUDGES):
            self.used.add(path)
            if not within(path, self._open):
                self._say(node, "reaches into what judges it")
        elif why := self._foreign(path):
            self._say(node, why)
        elif any(part in WITHIN for part in path.split(".")[1:]):
            self._say(node, "gets at a module through another one")
        elif ".?." in path:
            self._say(node, "uses a part of a module whose name it computes")

    def _imported(self, node: ast.AST, path: str) -> None:
        if path in CHECK[:1]:
            return
        if within(path, JUDGES):
            self.imports.add(path)
            if path not in self._imports:
                self._say(node, "imports what judges it")
        elif why := self._foreign(path):
            self._say(node, why)

    def _changed(self, node: ast.AST, owner: ast.AST) -> None:
        """Note that an attribute of something is set, if that is not the notebook's own."""
        path = self._path(owner)
        if path and not within(path + ".", SETTINGS):
            self._say(node, f"changes a part of {path}")
        match owner:
            case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id="self" | "cls")]):
                pass
            case ast.Call(func=ast.Name(id="type")):
                self._say(node, "changes a class from outside")
            case ast.Attribute(attr="__class__", value=ast.Name(id=name)) if name not in ("self", "cls"):
                self._say(node, "changes a class from outside")

    def _got_by_name(self, node: ast.Call, how: str, owner: ast.AST | None, name: ast.AST) -> None:
        """Judge an attribute that is read or set (which says the name of the function) by its name in a text."""
        path = self._path(owner)
        if isinstance(name, ast.Constant):
            parts = set(str(name.value).split("."))
            if parts & (INSIDE - MAY_BE_READ if "get" in how else INSIDE):
                self._say(node, f"looks inside of a function or frame by {name.value}")
            elif path and any(DUNDER.fullmatch(part) for part in parts - OF_MODULES):
                self._say(node, f"gets at {name.value} of {path}")
        elif self._is_module(path) and not (isinstance(name, ast.Name) and path in BY_NAME):
            self._say(node, f"computes the name of a part of {path}")
        elif owner is None and isinstance(name, ast.BinOp | ast.JoinedStr | ast.Call):
            self._say(node, "computes the name of an attribute")

    # --- expressions

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._bind(node, node.id, None)
            return
        bound, path = self._lookup(node.id)
        if not bound and node.id in BUILTINS:
            self._say(node, BUILTINS[node.id])
        elif path and path != "sys":
            self._used(node, path)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self._path(node)
        is_read = isinstance(node.ctx, ast.Load)
        if not is_read:
            self._changed(node, node.value)
            if node.attr in OVERRIDES:
                self._say(node, RESULTS)
            elif not path and node.attr in JUDGING and isinstance(node.value, ast.Subscript | ast.Call):
                self._say(node, f"gives {node.attr} of something else another meaning")
        elif node.attr in OF_CODE and isinstance(node.value, ast.Attribute) and node.value.attr == "__code__":
            self.visit(node.value.value)
            return
        if not path and (why := self._foreign(_tail(node))):
            self._say(node, why)
        if node.attr in INSIDE and not (is_read and node.attr in MAY_BE_READ):
            self._say(node, f"looks inside of a function or frame by {node.attr}")
        elif path and node.attr == "__dict__":
            self._say(node, f"gets at the names of {path.removesuffix('.__dict__')}")
        elif node.attr in FILES:
            self._say(node, "looks for the file of a module")
        elif path:
            self._used(node, path)
        if not path:
            self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value in OVERRIDES:
            self._say(node, RESULTS)
        elif isinstance(node.value, str) and SECRETS.search(node.value):
            self._say(node, "names what judges it in a text")

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring may say what it likes
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.visit(node.left)
        for how, other in zip(node.ops, node.comparators, strict=True):
            if not (isinstance(how, ast.In) and self._path(other) == "sys.modules"):
                self.visit(other)  # to ask whether a module is there is the first thing that every notebook does

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=kind):
                self._magic(node, kind)
                return
            case ast.Name(id=name):
                pass
            case ast.Attribute(attr=name):
                pass
            case _:
                name = ""
        path = self._path(node.func)
        called_check = path in CHECK
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        first = self._path(arguments[0]) if arguments else None
        ours = isinstance(node.func, ast.Name) and self._lookup(name)[0]
        self._by_name(node, name)
        if not ours and name in ("setattr", "delattr", "__setattr__", "__delattr__") and arguments:
            self._changed(node, arguments[0])
        elif not ours and name == "vars" and first:
            self._say(node, f"gets at the names of {first}")
        elif not ours and name in ("vars", "locals") and not arguments and len(self._scopes) == 1:
            self._say(node, BUILTINS["globals"])
        elif path and path.startswith("inspect.") and name in SOURCE_OF:
            if not ((first and within(first, (*self._open, "torch"))) or self._is_own(arguments[:1])):
                self._say(node, "reads source that it was not given")
        elif any(self._is_module(self._path(one)) for one in arguments) and (ours or name not in ONLY_LOOK):
            self._say(node, "hands a whole module to a function, which may change it")
        timed = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg in ("stmt", "setup"))]
        if path and path.startswith("timeit.") and any(map(_is_text, timed)):
            self._say(node, FROM_TEXT)
        if not called_check:
            self.visit(node.func)
        for one in arguments:
            if ours or not self._only_shown(name, one):
                self.visit(one)

    def _by_name(self, node: ast.Call, name: str) -> None:
        """Judge calls that read or set an attribute by its name."""
        match node.func, node.args:
            case ast.Name(), [owner, what, *_] if (
                name in ("getattr", "setattr", "delattr") and not self._lookup(name)[0]
            ):
                self._got_by_name(node, name, owner, what)
            case _, [what, *_] if name == "attrgetter":
                self._got_by_name(node, name, None, what)
            case ast.Attribute(value=ast.Name(id="object" | "type")), [owner, what, *_] if name in GETTERS:
                self._got_by_name(node, name, owner, what)
            case ast.Attribute(value=owner), [what, *_] if name in GETTERS:
                self._got_by_name(node, name, owner, what)
                if "get" not in name:
                    self._changed(node, owner)

    def _is_own(self, arguments: list[ast.AST]) -> bool:
        """Say whether something was defined in a cell, and not imported."""
        for one in arguments:
            while isinstance(one, ast.Attribute):
                one = one.value
            names = self._scopes[0].names
            return isinstance(one, ast.Name) and one.id in names and self._lookup(one.id) == (True, None)
        return False

    def _only_shown(self, name: str, node: ast.AST) -> bool:
        """Say whether an argument may be anything, since it is printed."""
        if name not in ("print", "help"):
            return False
        match node:
            case ast.Call(func=ast.Name(id="locals" | "vars"), args=[]):
                return True
            case ast.Attribute(attr="__file__"):
                return not within(self._path(node) or "", JUDGES)
        return self._path(node) in CHECK

    def _magic(self, node: ast.Call, kind: str) -> None:
        """Judge what IPython makes of ``%...``, ``%%...``, ``!...`` and ``...?``."""
        words = [one.value if isinstance(one, ast.Constant) else "" for one in node.args]
        name, line, body = [*map(str, words), "", "", ""][:3]
        if kind in ("system", "getoutput"):
            if not ONLY_SHOWS.fullmatch(name.strip()) or ".." in name or SECRETS.search(name):
                self._say(node, RUNS)
        elif kind not in ("run_line_magic", "run_cell_magic"):
            self._say(node, BUILTINS["get_ipython"])
        elif name in HARMLESS and HARMLESS[name].fullmatch(line.strip()) and not body:
            pass
        elif name in INSTALL:
            self._say(node, "installs something where it is graded")
        elif name in SHOW_SOURCE:
            self._inside(node, line, reads=True)
        elif name not in MAGICS:
            self._say(node, f"asks the notebook for {'%' * (1 + (kind == 'run_cell_magic'))}{name}")
        elif name in AROUND_PYTHON:
            self._inside(node, OPTIONS.sub("", line).strip())
            self._inside(node, body, lower=1)

    def _inside(self, node: ast.Call, source: str, lower: int = 0, reads: bool = False) -> None:
        """Look at Python that is an argument of a magic."""
        try:
            tree = python_of(source)
        except SyntaxError:
            self._say(node, "reads source that it was not given" if reads else "runs what is no Python")
            return
        if reads and tree.body and isinstance(tree.body[0], ast.Expr):
            path = self._path(tree.body[0].value)
            if path and within(path, ("vqvae_course",)) and not within(path, self._open):
                self._say(node, "reads source that it was not given")
            return
        self.visit(ast.increment_lineno(copy.deepcopy(tree), node.lineno - 1 + lower))

    # --- statements

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self._imported(node, one.name)
            self._bind(
                node, one.asname or one.name.partition(".")[0], one.name if one.asname else one.name.split(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            path = f"{node.module}.{one.name}" if one.name != "*" else f"{node.module}"
            self._imported(node, path)
            if one.name != "*":
                self._bind(node, one.asname or one.name, path)

    def visit_Global(self, node: ast.Global) -> None:
        if "check" in node.names:
            self._say(node, "gives the name check to something else")

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
            self._assign(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        inner = self._scopes
        self._scopes = [scope for scope in inner if scope.kind != "comprehension"]  # where := puts its name
        self._assign(node.target, node.value)
        self._scopes = inner

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        several = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List | ast.Set) else []
        if isinstance(node.target, ast.Name):
            self._bind(node.target, node.target.id, self._first(several))
        else:
            self.visit(node.target)
        for one in (*node.body, *node.orelse):
            self.visit(one)

    def _assign(self, target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self._bind(target, target.id, self._path(value))
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            if len(target.elts) == len(value.elts):
                for one, its_value in zip(target.elts, value.elts, strict=True):
                    self._assign(one, its_value)
            else:
                self.generic_visit(target)
        else:
            self.visit(target)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bind(node, node.name, None)
        self.generic_visit(node)

    # --- scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for one in node.decorator_list:
            self.visit(one)
        self._bind(node, node.name, None)
        for one in filter(None, (node.returns, *(inner.annotation for inner in _arguments(node.args)))):
            self.visit(one)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node.args, [node.body])

    def _function(self, arguments: ast.arguments, body: list[ast.AST]) -> None:
        for one in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
            self.visit(one)
        names: dict[str, str | None] = dict.fromkeys(bound_by(body))
        for one in body:
            for inner in ast.walk(one):
                if isinstance(inner, ast.Global | ast.Nonlocal):
                    names = {name: path for name, path in names.items() if name not in inner.names}
        names |= dict.fromkeys(one.arg for one in _arguments(arguments))
        plain = [*arguments.posonlyargs, *arguments.args]
        for one, default in zip(reversed(plain), reversed(arguments.defaults), strict=False):
            names[one.arg] = self._path(default)
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            names[one.arg] = self._path(default)
        self._within(_Scope(names), body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for one in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(one)
        self._bind(node, node.name, None)
        self._within(_Scope({}, "class"), node.body)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._within(_Scope({}, "comprehension"), [*node.generators, *parts])

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def _within(self, scope: _Scope, nodes: Iterable[ast.AST]) -> None:
        self._scopes.append(scope)
        for one in nodes:
            self.visit(one)
        self._scopes.pop()
