"""docs/reference.md is what the program prints."""

import difflib
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Reference(unittest.TestCase):
    def test_the_committed_reference_is_what_the_program_prints(self):
        printed = subprocess.run([os.environ["WEIR_BINARY"], "config", "docs"], check=True, capture_output=True, text=True, timeout=60).stdout
        committed = (ROOT / "docs" / "reference.md").read_text()
        difference = "\n".join(difflib.unified_diff(committed.splitlines(), printed.splitlines(), "docs/reference.md", "weir config docs", lineterm="", n=0))
        self.assertTrue(printed == committed, f"`./run docs` brings docs/reference.md up to date:\n{difference}")


if __name__ == "__main__":
    unittest.main()
