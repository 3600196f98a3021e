"""Which cells reach into what judges them, and which do not."""

from pathlib import Path

import pytest

pytest.importorskip("nbgrader")

import nbformat

from vqvae_course.assignments.reach import Watch

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BEFORE = """\
import copy, importlib, inspect, math, os, re, sys
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from vqvae_course import check, data
from vqvae_course.quantize import VectorQuantizer
"""


def reaches(source: str) -> list[str]:
    return [one.why for one in Watch([BEFORE]).look(source)]


@pytest.mark.parametrize(
    "source",
    [
        # the checks, under any name
        "from vqvae_course import checks",
        "from vqvae_course import checks as c\nc.straight_through._switch",
        "import vqvae_course.checks.report as r",
        "import vqvae_course as v\nv.checks.report.run",
        "from vqvae_course.checks import EXERCISES",
        "from vqvae_course.assignments import hidden",
        "import vqvae_course.checks.bank",
        "importlib.import_module('vqvae_course.checks')",
        "__import__('vqvae_course.checks')",
        "sys.modules['vqvae_course.checks'].report.run = f",
        "from sys import modules as m",
        # the name check
        "check = print",
        "def check(*a): pass",
        "class check: pass",
        "from elsewhere import f as check",
        "for check in x: pass",
        "def f():\n    global check\n    check = print",
        "c = check",
        "check.__globals__['run'] = print",
        "[check := print for _ in range(1)]",
        # libraries, under any name
        "torch.allclose = lambda *a, **k: True",
        "import torch as t\nt.allclose = print",
        "t = torch\nt.allclose = print",
        "torch.nn.functional.mse_loss = print",
        "F.mse_loss = print",
        "from torch.nn import functional as G\nG.mse_loss = print",
        "(torch.allclose, y) = print, 2",
        "for torch.allclose in [print]: pass",
        "with f() as torch.allclose: pass",
        "del torch.allclose",
        "for m in (torch, np): m.allclose = print",
        "def patch(m=torch):\n    m.allclose = print",
        "def patch(m):\n    m.allclose = print\npatch(torch)",
        "setattr(torch, 'allclose', print)",
        "object.__setattr__(torch, 'allclose', print)",
        "vars(torch).update(allclose=print)",
        "vars(torch.Tensor)['x'] = 1",
        "torch.__dict__['allclose'] = print",
        "getattr(torch, 'nn').functional = 1",
        "getattr(torch, 'n' + 'n').functional = 1",
        "torch.Tensor.__eq__ = print",
        "type(torch.ones(1)).__eq__ = print",
        "VectorQuantizer.forward = print",
        "math.isclose = print",
        "class T(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, *a): return True",
        # Python itself
        "globals()['check'] = print",
        "import builtins",
        "__builtins__.print = 1",
        "from unittest import mock",
        "from unittest.mock import patch as p",
        "sys._getframe(1)",
        "from sys import _getframe as g",
        "inspect.currentframe().f_back",
        "try:\n    pass\nexcept E as e:\n    e.__traceback__.tb_frame",
        "exec('x = 1')",
        "run = eval",
        "compile('1', '', 'eval')",
        "f.__code__ = g.__code__",
        # the machine
        "%pip install einops",
        "!pip install einops",
        "%conda install einops",
        "files = !ls ../..",
        "!ls; rm -r x",
        "!nvidia-smi && rm x",
        "!cat secret.txt",
        "%%bash\nls",
        "%%writefile torch.py\nx = 1",
        "%run tools.py",
        "%load_ext tools",
        "%env PYTHONPATH=.",
        "%env PYTHONPATH .",
        "%pip -q install einops",
        "%pip list; rm x",
        "%prun (x",
        "%time def f(",
        "%%timeit\nx = (",
        "get_ipython().kernel",
        "import subprocess",
        "os.system('ls')",
        "from os import system",
        "os._exit(0)",
        "sys.path.insert(0, '.')",
        "%%time\ntorch.allclose = print",
        "%time torch.allclose = print",
        "%%timeit\nimport ctypes",
        # what answers are compared with
        "inspect.getsource(check)",
        "inspect.getsource(VectorQuantizer)",
        "check??",
        "import vqvae_course\nopen(vqvae_course.__file__)",
        "open(checks.__file__)",
        "Path('tests/checks/sealed_answers.txt').read_text()",
        "open('site-packages/vqvae_course/checks/bank/__init__.py')",
        # gradebooks and what others hand in
        "import sqlite3",
        "open('../../../gradebook.db')",
        "Path('../../..') / 'submitted'",
        "Path.cwd().parents[2].glob('autograded/*/ps1/*.ipynb')",
        "Path('.').glob('../*/ps1')",
        # text that runs
        "import multiprocessing",
        "from concurrent.futures import ProcessPoolExecutor",
        "torch.multiprocessing.spawn(f)",
        "import pickle\npickle.loads(b'x')",
        "import marshal",
        "import atexit",
        "import doctest",
        "import timeit\ntimeit.timeit('x = 1')",
        "from timeit import timeit\ntimeit(stmt=f'{x}')",
        "import cProfile\ncProfile.run('f()')",
        "import code\ncode.interact()",
        # round about
        "torch.os.listdir()",
        "import pathlib\npathlib.os",
        "x.sys.setprofile(f)",
        "sys.setprofile(f)",
        "f().os.system('ls')",
        "torch.library.Library('aten', 'IMPL')",
        "torch._C._nn",
        "class T(torch.Tensor):\n    __torch_function__ = classmethod(f)",
        "T.__torch_function__ = f",
        "type('T', (torch.Tensor,), {'__torch_function__': f})",
        "setattr(T, '__torch_function__', f)",
        "getattr(math, '__dict__')",
        "getattr(math, 'is' + 'close')",
        "getattr(os, name)",
        "n = 'os'\ngetattr(torch, n).system('ls')",
        "getattr(f, '__globals__')",
        "setattr(f, '__code__', g)",
        "import operator\noperator.attrgetter('f.__globals__')",
        "from operator import attrgetter\nattrgetter('__glo' + 'bals__')(f)",
        "f.__getattribute__('__globals__')",
        "object.__getattribute__(f, '__globals__')",
        "math.__getattribute__('__dict__')",
        "math.__setattr__('isclose', f)",
        "Exception.__subclasses__()",
        "getattr(Exception, '__subclasses__')()",
        "for m in (math,): m.isclose = f",
        "ms = [math]\nms[0].isclose = f",
        "f().allclose = g",
        "import gc\ngc.get_objects()",
        "from gc import get_referrers",
        "from pytest import MonkeyPatch",
        "import importlib",
        "from IPython import get_ipython",
        "import IPython\nIPython.core",
        "f.__defaults__ = (1,)",
        "setattr(f, '__defaults__', (1,))",
        "!ls /course/submitted/bob",
        "f.__code__.co_consts",
        "check.__code__.co_varnames",
        "type(x).n = 1",
        "print(check, check.__globals__)",
        "import vqvae_course as v\nprint(v.checks.__file__)",
        "d = locals()",
        "def f(g):\n    return inspect.getsource(g)",
        # no Python
        "torch.allclose = (\n\nfrom unittest.mock import patch",
    ],
)
def test_reaching_into_what_judges_is_seen(source):
    assert reaches(source)


@pytest.mark.parametrize(
    "source",
    [
        "z = x.setdefault",
        "model.eval()",
        "re.compile('x')",
        "model = torch.compile(model)",
        "checks = [1]\nchecks.append(2)",
        "check_shape = x.shape",
        "class A:\n    def __init__(self):\n        self.check = 1\n        setattr(self, 'x', 2)",
        "def f(x):\n    check = x.sum()\n    return check",
        "[check for check in range(3)]",
        "from vqvae_course import check",
        "from vqvae_course import check, metrics",
        "check(first)",
        'check("first", first, strict=True)',
        "def f(data):\n    data.x = 1",
        "data = data.load_images('glyphs')\ndata.x = 1",
        "torch.backends.cudnn.benchmark = True",
        "torch.manual_seed(0)",
        "'google.colab' in sys.modules",
        "print(torch, torch.__version__)\nhelp(F)",
        "import matplotlib.pyplot as plt\nplt.rcParams['figure.dpi'] = 100",
        "%matplotlib inline",
        "%%time\nx = 1",
        "%timeit -n 3 f(x)",
        "torch.relu?",
        '"""See vqvae_course.checks."""',
        "def f():\n    'Like vqvae_course.checks.'",
        "def eval(m):\n    return m\n\neval(3)",
        "zip(a, b, strict=False)",
        "z_q = torch.where(z == 0, e, z)",
        "y = F.relu(x, inplace=False)",
        "k = torch.argmin(d, dim=1)",
        "model = nn.Linear(1, 1)\nmodel.bias = None\nmodel.weight.data = x",
        "best = copy.deepcopy(model)",
        "x = (",
        "import gc\ngc.collect()",
        "import pandas as pd\npd.options.display.max_rows = 5",
        "from importlib.metadata import version\nversion('torch')",
        "import IPython\nIPython.__version__",
        "import IPython\nIPython.display.display(x)",
        "def mine(x):\n    return x\n\nprint(inspect.getsource(mine))",
        "class Mine(nn.Module):\n    pass\n\nprint(inspect.getsource(Mine.forward))",
        "inspect.getsource(nn.Linear)\ninspect.getsource(torch.nn.functional.relu)",
        "class A:\n    def f(self):\n        type(self).n += 1",
        "f.__code__.co_varnames",
        "f.__defaults__",
        "print(locals())",
        "import pytest\nassert x == pytest.approx(3)",
        "%whos",  # codespell:ignore whos
        "%env",
        "%env HOME",
        "%debug",
        "%load_ext autoreload\n%autoreload 2",
        "%%javascript\nalert(1)",
        "%%html\n<b>x</b>",
        "!nvidia-smi",
        "!ls",
        "!ls -la data",
        "!pwd",
        "!cat /proc/cpuinfo",
        "files = !ls",
        "%pip show torch",
        "%pip list",
        "!pip freeze",
        "help(check)",
        "print(check)",
        "import vqvae_course\nprint(vqvae_course.__file__)",
        "%timeit -n 3 -r2 -q f(x)",
        "%prun -s cumulative f(x)",
        "%%capture --no-stderr out\nx = 1",
        "%time -x + 1",
        "import timeit\ntimeit.timeit(lambda: f(x), number=10 * 3)",
        "getattr(F, name)(x)",
        "getattr(model, f'layer{i}')",
        "getattr(torch, '__version__', None)",
        "from operator import attrgetter\nsorted(x, key=attrgetter('loss'))",
        "class A(nn.Module):\n    def __setattr__(self, n, v):\n        super().__setattr__(n, v)",
        "class A(nn.Module):\n    def __getattr__(self, n):\n        return super().__getattr__(n)",
        "rows[0].mean = 3",
        "self.os = 3",
        "print('Submitted, and autograded later')",
        "Path('..') / 'data'",
        "torch.signal.windows.hann(3)",
        "import pickle\npickle.dump(x, f)",
    ],
)
def test_ordinary_cells_are_not_reported(source):
    assert reaches(source) == []


def test_the_place_is_said():
    (one,) = Watch([BEFORE]).look("\n\nx = 1\ntorch.allclose = print\n")
    assert one.line == 4
    assert one.code == "torch.allclose = print"
    assert "torch" in one.why


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_published_solution_and_no_lesson_reaches_too_far(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    lesson = [cell.source for cell in cells if "solution" not in cell.metadata.get("tags", [])]
    watch = Watch(lesson)
    by_nature = ("google.colab", "TorchDispatchMode", "inspect.getsource")  # which count where a student writes them
    for cell in cells:
        found = watch.look(cell.source)
        assert not found or any(word in cell.source for word in by_nature), found
        assert "solution" not in cell.metadata.get("tags", []) or not found


def test_what_the_lesson_takes_from_the_checks_is_open_and_no_more():
    released = ["import inspect\nfrom vqvae_course.checks import patients", "patients.Patient1"]
    fine = "class Mine(patients.Patient1):\n    pass\n\n\ninspect.getsource(patients.Patient1)"
    assert Watch(released).look(fine) == []
    assert Watch(released).look("from vqvae_course.checks import patients") == []
    assert Watch(released).look("patients.Patient2")
    assert Watch(released).look("patients.Patient1.forward = print")
    assert Watch(released).look("p = patients")


def test_names_are_followed_from_cell_to_cell():
    watch = Watch([BEFORE])
    assert watch.look("import torch as t") == []
    assert watch.look("t.allclose = print")
    assert watch.look("t = 3") == []
    assert watch.look("t.allclose = print") == []


def test_an_odd_cell_does_not_stop_the_look():
    for source in ("x = 1\0", "(" * 5000, "-" * 20000 + "1", "\ud800", "%", "%%", "!", "?", "%%time"):
        assert isinstance(Watch([BEFORE]).look(source), list)
