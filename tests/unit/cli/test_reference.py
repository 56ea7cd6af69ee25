"""docs/reference.md, docs/operators.md and schemas/operators.schema.json are what the program prints."""

import difflib
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Reference(unittest.TestCase):
    def test_what_is_committed_is_what_the_program_prints(self):
        for what, path in (("docs", "docs/reference.md"), ("operators", "docs/operators.md"), ("operators_schema", "schemas/operators.schema.json")):
            with self.subTest(path):
                printed = subprocess.run([os.environ["WEIR_BINARY"], "config", what], check=True, capture_output=True, text=True, timeout=60).stdout
                committed = (ROOT / path).read_text()
                difference = "\n".join(difflib.unified_diff(committed.splitlines(), printed.splitlines(), path, f"weir config {what}", lineterm="", n=0))
                self.assertTrue(printed == committed, f"`./run docs` brings {path} up to date:\n{difference}")


if __name__ == "__main__":
    unittest.main()
