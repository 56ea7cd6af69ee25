"""Drives weir_tool_ops (tests/tools/ops.c) and compares what operators give with an oracle. Used by test_ops_*_oracle.py."""

import math
import os
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("WEIR_TEST_DATA") or ROOT.parent / "shared" / "data")
TOOL = Path(os.environ.get("WEIR_BUILD") or ROOT / "build") / "weir_tool_ops"
TOLERANCE = 1e-12
FORMS = ("eval", "fold", "merge")
worst = {}  # operator -> largest relative error that was seen


def ask(columns, questions, time_us=None):
    """Values of eval, fold and merge (None: the operator has none), one triple a question. columns: equally long sequences, NaN is null.
    A question: (operator, "0,1", window, row whose time is asked for, {parameter: value})."""
    time_us = np.arange(len(columns[0])) * 1_000_000 if time_us is None else np.asarray(time_us)
    lines = [f"records {len(columns[0])} {len(columns)}"]
    lines += [f"{t} " + " ".join(repr(float(c)) for c in row) for t, *row in zip(time_us, *columns)]
    lines += [f"{op} {of} {window} {time_us[row] if len(time_us) else 0} " + " ".join(f"{k}={v}" for k, v in params.items())
              for op, of, window, row, params in questions]
    done = subprocess.run([str(TOOL)], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    refused = next((line for line in done.stdout.splitlines() if line.startswith("error: ")), None)
    if refused:
        raise RuntimeError(refused)
    answers = [[None if word == "-" else float(word) for word in line.split()] for line in done.stdout.splitlines()]
    if len(answers) != len(questions):
        raise RuntimeError(f"{len(questions)} questions, {len(answers)} answers")
    return answers


def agree(case, name, found, expected, scale=0.0, tolerance=TOLERANCE):
    """Fails the test case unless found [n] has nulls where expected has them and is otherwise within tolerance, relative to the larger of |expected| and scale."""
    for i, (f, e) in enumerate(zip(found, expected, strict=True)):
        if math.isnan(e) or math.isnan(f):
            case.assertEqual(math.isnan(f), math.isnan(e), f"{name} at {i}: {f}, expected {e}")
            continue
        size = max(abs(e), scale[i] if np.ndim(scale) else scale)
        error = abs(f - e) / size if size > 0 else abs(f)
        case.assertLessEqual(error, tolerance, f"{name} at {i}: {f!r}, expected {e!r}")
        worst[name] = max(worst.get(name, 0.0), error)


def follow(case, op, columns, of, window, expected, params=None, rows=None, label=None, time_us=None, **limits):
    """Every form of the operator at every row (or those given) against expected [rows]."""
    rows = range(len(columns[0])) if rows is None else rows
    answers = ask(columns, [(op, of, window, row, params or {}) for row in rows], time_us)
    forms = [form for form in range(3) if answers[0][form] is not None]
    case.assertTrue(forms, f"{op} has no form")
    for form in forms:
        agree(case, f"{label or op} {FORMS[form]}", [a[form] for a in answers], expected, **limits)


def report():
    for name, error in sorted(worst.items()):
        print(f"{name:<44} {error:.1e}")
