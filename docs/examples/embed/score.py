"""Scores by a compiled model from Python, with nothing but the standard library: ctypes and libweirscore.so.

    python score.py libweirscore.so fraud.score < rows.csv

The first line of the input names its columns; an empty field is a missing value.
"""
import csv
import ctypes
import math
import sys


class Model:
    """A compiled model; score() takes rows of numbers in the order of `inputs`."""

    def __init__(self, library, path):
        self._lib = lib = ctypes.CDLL(library)
        for name in ("input_count", "output_count"):
            getattr(lib, "weirscore_" + name).restype = ctypes.c_size_t
            getattr(lib, "weirscore_" + name).argtypes = [ctypes.c_void_p]
        for name in ("input_name", "output_name"):
            getattr(lib, "weirscore_" + name).restype = ctypes.c_char_p
            getattr(lib, "weirscore_" + name).argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        lib.weirscore_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.c_size_t]
        lib.weirscore_score.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        lib.weirscore_close.argtypes = [ctypes.c_void_p]
        self._model, why = ctypes.c_void_p(), ctypes.create_string_buffer(256)
        if lib.weirscore_open(path.encode(), ctypes.byref(self._model), why, len(why)):
            raise ValueError(why.value.decode())
        self.inputs = [lib.weirscore_input_name(self._model, i).decode() for i in range(lib.weirscore_input_count(self._model))]
        self.outputs = [lib.weirscore_output_name(self._model, i).decode() for i in range(lib.weirscore_output_count(self._model))]

    def score(self, rows):
        flat = [value for row in rows for value in row]
        values = (ctypes.c_double * len(flat))(*flat)
        scores = (ctypes.c_double * (len(rows) * len(self.outputs)))()
        if self._lib.weirscore_score(self._model, values, len(rows), scores):
            raise ValueError("a value or score is not finite")
        width = len(self.outputs)
        return [list(scores[i * width:(i + 1) * width]) for i in range(len(rows))]

    def close(self):
        self._lib.weirscore_close(self._model)
        self._model = None


def main():
    model = Model(sys.argv[1], sys.argv[2])
    rows = [[float(line[name]) if line[name] else math.nan for name in model.inputs] for line in csv.DictReader(sys.stdin)]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(model.outputs)
    for scores in model.score(rows):
        writer.writerow("%.17g" % score for score in scores)
    model.close()


if __name__ == "__main__":
    main()
