"""Importing a module of ours changes nothing outside it; only the commands do."""

import json
import os
import subprocess
import sys

from import_graph import PACKAGES, ROOT, read_imports

STARTS_A_COMMAND = ("__main__",)  # its work stands under `if __name__`
IMPORT_ALL = """
import contextlib, csv, decimal, gc, importlib, json, locale, logging, os, random, signal, socket
import sys, threading, warnings
modules, others = json.load(sys.stdin)
for name in others:  # what they change at import is theirs
    while name:
        try:
            importlib.import_module(name)
            break
        except ImportError:  # of a module the name of a thing in it
            name = name.rpartition(".")[0]

import absl.logging, keras, matplotlib, numpy, PIL.Image, tensorflow

def state():
    levels = {name: each.level for name, each in logging.root.manager.loggerDict.items()
              if isinstance(each, logging.Logger)}
    return {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "path": list(sys.path),
        "log levels": levels | {"": logging.root.level},
        "log handlers": [str(each) for each in logging.root.handlers],
        "absl": absl.logging.get_verbosity(),
        "warnings": [str(each) for each in warnings.filters],
        "signals": [str(signal.getsignal(each)) for each in signal.valid_signals()],
        "wakeup": signal.set_wakeup_fd(-1),
        "matplotlib": str(dict.__getitem__(matplotlib.rcParams, "backend")),
        "keras": [keras.config.backend(), keras.config.floatx(),
                  keras.config.image_data_format(), str(keras.config.dtype_policy())],
        "random": [hash(random.getstate()), numpy.random.get_state()[1].tolist()],
        "limits": [csv.field_size_limit(), sys.getrecursionlimit(), PIL.Image.MAX_IMAGE_PIXELS,
                   socket.getdefaulttimeout(), decimal.getcontext().prec, gc.get_threshold()],
        "hooks": [str(each) for each in (sys.excepthook, threading.excepthook, sys.unraisablehook)],
        "streams": [str(each) for each in (sys.stdin, sys.stdout, sys.stderr)],
        "locale": locale.setlocale(locale.LC_ALL),
        "threads": sorted(each.name for each in threading.enumerate()),
        "tensorflow": [tensorflow.config.threading.get_intra_op_parallelism_threads(),
                       tensorflow.config.optimizer.get_experimental_options(),
                       tensorflow.executing_eagerly()],
    }

before, changes = state(), []
for name in modules:
    known = set(before["log levels"])
    importlib.import_module(name)
    after = state()
    # A logger that a module makes is its own, whatever it is called.
    after["log levels"] = {n: v for n, v in after["log levels"].items() if n in known}
    changes += [f"{name} changes {what}: {before[what]} to {after[what]}"
                for what in before if after[what] != before[what]]
    before = state()
print(json.dumps(changes))
"""


def modules_and_others():
    """Our modules, but for those that are commands, and what they import that is not ours."""
    imports = read_imports(ROOT)
    modules = [name for name in imports if not name.endswith(STARTS_A_COMMAND)]
    others = sorted({other for name in modules for other in imports[name]})
    return modules, [other for other in others if other.split(".")[0] not in PACKAGES]


def test_importing_our_modules_changes_nothing_outside_them(tmp_path):
    changes = {  # what modules do that are no better, which is found
        "environment": "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'",
        "matplotlib": "import matplotlib; matplotlib.use('svg')",
        "log levels": "import logging; logging.getLogger('absl').setLevel(40)",
        "warnings": "import warnings; warnings.simplefilter('ignore')",
        "signals": "import signal; signal.signal(signal.SIGTERM, lambda *_: None)",
        "keras": "import keras; keras.config.set_floatx('float64')",
    }
    for i, source in enumerate(changes.values()):
        (tmp_path / f"module{i}.py").write_text(source)
    modules, others = modules_and_others()
    assert "trainer.runs.run_log" in modules and "matplotlib.figure.Figure" in others
    modules += [f"module{i}" for i in range(len(changes))]
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], input=json.dumps([modules, others]), cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = [line.split(":")[0] for line in json.loads(result.stdout.splitlines()[-1])]
    assert found == [f"module{i} changes {what}" for i, what in enumerate(changes)]
