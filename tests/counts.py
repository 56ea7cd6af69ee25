"""Adds up what tests did: counts.py PASSED FAILED SKIPPED JUNIT.xml... prints "N passed, N failed, N skipped".

A CMocka program and a unittest script count as their cases; any other test counts as one. The exit code is 1 when something failed or nothing ran.
"""

import re
import sys
import xml.etree.ElementTree as ET

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def total(pattern, text):
    return sum(int(n) for n in re.findall(pattern, text, re.MULTILINE))


def cases(test):
    """(passed, failed, skipped) of one CTest test."""
    output = ESCAPES.sub("", test.findtext("system-out") or "")
    if test.get("status") in ("notrun", "disabled"):
        return (0, 0, 1) if test.find("skipped") is not None and test.find("skipped").get("message", "").startswith("SKIP") else (0, 1, 0)
    passed = total(r"^\[  PASSED  \] (\d+) test", output)
    failed = total(r"^\[  FAILED  \] (\d+) test", output)
    skipped = total(r"^\[  SKIPPED \] (\d+) test", output)
    ran = total(r"^Ran (\d+) tests? in ", output)
    if ran:
        failed += total(r"\bfailures=(\d+)", output) + total(r"\berrors=(\d+)", output)
        skipped += total(r"\bskipped=(\d+)", output)
        passed += ran - failed - skipped
    if test.get("status") == "fail":
        return passed, max(failed, 1), skipped  # a crash leaves no summary
    if passed + skipped == 0:
        passed = 1
    return passed, failed, skipped


def main():
    passed, failed, skipped = (int(n) for n in sys.argv[1:4])
    for path in sys.argv[4:]:
        for test in ET.parse(path).getroot().iter("testcase"):
            p, f, s = cases(test)
            passed, failed, skipped = passed + p, failed + f, skipped + s
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
