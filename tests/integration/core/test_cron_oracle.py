"""Due times of cron expressions are croniter's in UTC; in zones whose clock changes they are those of a search minute by minute with Python's zoneinfo; instants of local times too."""
import datetime
import os
import random
import subprocess
import unittest
import zoneinfo

import croniter

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOL = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "weir_tool_cron")
UTC = datetime.timezone.utc
ZONES = ["Europe/Athens", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Africa/Casablanca", "Asia/Gaza", "Pacific/Apia", "Europe/Dublin"]


def run(lines):
    out = subprocess.run([TOOL], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(out) == len(lines), (len(out), len(lines))
    return out


def field(rng, least, most, steps=True):
    def item():
        kind = rng.random()
        low = rng.randint(least, most)
        if kind < 0.5 or low == most or (kind >= 0.8 and not steps):
            return str(low)
        if kind < 0.8:
            return "%d-%d" % (low, rng.randint(low + 1, most))  # croniter takes a-a for all
        return "*/%d" % rng.randint(1, max(1, (most - least) // 2))

    return "*" if rng.random() < 0.4 else ",".join(item() for _ in range(rng.randint(1, 3)))


def expression(rng):
    # Days without steps: of */n in both, Vixie cron takes days that are in both, croniter those that are in either.
    return " ".join([field(rng, 0, 59), field(rng, 0, 23), field(rng, 1, 28, False), field(rng, 1, 12), field(rng, 0, 6, False)])


def instants(zone, naive):
    """At which the zone's clock shows the time; for one that it leaps over the instant of the leap."""
    found = []
    for fold in (0, 1):
        at = naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None) == naive and at not in found:
            found.append(at)
    if found:
        return sorted(found), None
    low = naive.replace(tzinfo=zone, fold=1).astimezone(UTC)  # before the leap
    high = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
    low, high = min(low, high) - datetime.timedelta(hours=1), max(low, high) + datetime.timedelta(hours=1)
    before = low.astimezone(zone).utcoffset()
    while high - low > datetime.timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return [], high


def due_around(zone, text, start, days):
    """Every due time on the local days from start on: what the wall clock shows is croniter's, in UTC; when it shows that is zoneinfo's."""
    every_hour = text.split()[1] == "*"
    due = set()
    it = croniter.croniter(text, start - datetime.timedelta(seconds=1))
    while (naive := it.get_next(datetime.datetime)) < start + datetime.timedelta(days=days):
        at, leap = instants(zone, naive)
        due.update([leap] if leap else at if every_hour else at[:1])
    return sorted(due)


class Cron(unittest.TestCase):
    def test_utc_is_croniters(self):
        rng = random.Random(1)
        cases = [(expression(rng), rng.randint(0, 4102444800)) for _ in range(1500)]
        for (text, after), line in zip(cases, run(["next UTC %d 4 %s" % (after, text) for text, after in cases])):
            it = croniter.croniter(text, datetime.datetime.fromtimestamp(after, UTC))
            self.assertEqual([int(it.get_next(datetime.datetime).timestamp()) for _ in range(4)], list(map(int, line.split())), (text, after))

    def test_clock_changes_are_zoneinfos(self):
        checked = 0
        for name in ZONES:
            zone = zoneinfo.ZoneInfo(name)
            changes = [d for d in (datetime.datetime(2024, 1, 1) + datetime.timedelta(days=n) for n in range(366))
                       if d.replace(tzinfo=zone).utcoffset() != (d + datetime.timedelta(days=1)).replace(tzinfo=zone).utcoffset()] or [datetime.datetime(2024, 6, 1)]
            for day in changes[:3]:
                for text in ("30 2 * * *", "*/20 * * * *", "15 * * * *", "0,30 0-4 * * *", "0 0 * * *", "*/7 1,3 * * *"):
                    start = day - datetime.timedelta(days=1)
                    due = due_around(zone, text, start, 4)
                    after = int((start.replace(tzinfo=zone).astimezone(UTC) - datetime.timedelta(seconds=1)).timestamp())
                    until = (start + datetime.timedelta(days=3)).replace(tzinfo=zone).astimezone(UTC)
                    expected = [int(d.timestamp()) for d in due if d.timestamp() > after and d < until]
                    got = list(map(int, run(["next %s %d %d %s" % (name, after, len(expected), text)])[0].split()))
                    self.assertEqual(expected, got, (name, day, text))
                    checked += len(expected)
        self.assertGreater(checked, 2000)

    def test_instants_are_zoneinfos(self):
        rng = random.Random(3)
        cases = []
        for name in ZONES:
            zone = zoneinfo.ZoneInfo(name)
            for _ in range(200):
                naive = datetime.datetime(1975, 1, 1) + datetime.timedelta(minutes=rng.randrange(100 * 365 * 1440))
                cases.append((name, zone, naive))
        lines = run(["local %s %d" % (name, naive.replace(tzinfo=UTC).timestamp()) for name, _, naive in cases])
        for (name, zone, naive), line in zip(cases, lines):
            at, leap = instants(zone, naive)
            expected = "gap %d" % leap.timestamp() if leap else " ".join("%d" % a.timestamp() for a in at)
            self.assertEqual(expected, line, (name, naive))


if __name__ == "__main__":
    unittest.main()
