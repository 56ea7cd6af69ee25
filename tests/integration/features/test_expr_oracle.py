"""Expressions mean what an evaluator written in Python from docs/pipeline-file.md says: thousands of random ones over rows with nulls, the calendar against datetime, the great
circle against vectors in space and the ellipsoid against numerical integration."""
import datetime
import math
import os
import random
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOL = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "weir_tool_expr")
TOLERANCE = 1e-15
EPOCH = datetime.datetime(1970, 1, 1)
NUMBERS = ["a", "b", "c", "d"]


def run(columns, rows, expressions, lists=()):
    """Values of each expression over each row; nan is None."""
    def word(value):
        return "nan" if value is None else value if isinstance(value, str) else repr(value)

    lines = ["columns " + " ".join(columns)]
    lines += ["list %s %s" % (name, " ".join(map(repr, values))) for name, values in lists]
    lines += ["row " + " ".join(map(word, row)) for row in rows]
    lines += ["expr " + text for text in expressions]
    out = subprocess.run([TOOL], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(out) == len(expressions), (len(out), len(expressions))
    for text, line in zip(expressions, out):
        assert not line.startswith("error"), (text, line)
    return [[None if math.isnan(v) else v for v in map(float, line.split())] for line in out]


# --- the oracle: functions of values, None is null ---


def strict(f):
    """Null in, null out; what is no finite number is null."""
    def g(*args):
        if any(x is None for x in args):
            return None
        try:
            value = float(f(*args))
        except (ValueError, OverflowError, ZeroDivisionError, TypeError):  # TypeError: a complex power
            return None
        return value if math.isfinite(value) else None

    return g


def logical_and(x, y):
    if x == 0 or y == 0:
        return 0.0
    return None if x is None or y is None else 1.0


def logical_or(x, y):
    if (x is not None and x != 0) or (y is not None and y != 0):
        return 1.0
    return None if x is None or y is None else 0.0


def whole(f):
    """Python's whole numbers have no -0."""
    return lambda x: f(x) or math.copysign(0.0, x)


def half_away(x):
    return math.copysign(math.floor(abs(x)) + (abs(x) - math.floor(abs(x)) >= 0.5), x)


BINARY = {
    "+": strict(lambda x, y: x + y), "-": strict(lambda x, y: x - y), "*": strict(lambda x, y: x * y), "/": strict(lambda x, y: x / y), "%": strict(lambda x, y: x % y),
    "^": strict(lambda x, y: x * x if y == 2 else math.pow(x, y)), "=": strict(lambda x, y: x == y), "!=": strict(lambda x, y: x != y), "<": strict(lambda x, y: x < y),
    "<=": strict(lambda x, y: x <= y), ">": strict(lambda x, y: x > y), ">=": strict(lambda x, y: x >= y), "and": logical_and, "or": logical_or,
}  # fmt: skip
FUNCTIONS = {
    "if": (3, lambda c, x, y: x if c else y), "coalesce": (2, lambda x, y: y if x is None else x), "is_null": (1, lambda x: float(x is None)),
    "nullif": (2, lambda x, y: None if x is not None and x == y else x), "min": (3, strict(min)), "max": (2, strict(max)),
    "least": (3, lambda *xs: min((x for x in xs if x is not None), default=None)), "greatest": (2, lambda *xs: max((x for x in xs if x is not None), default=None)),
    "clip": (3, strict(lambda x, low, high: min(max(x, low), high))), "abs": (1, strict(abs)), "sign": (1, strict(lambda x: (x > 0) - (x < 0))), "sqrt": (1, strict(math.sqrt)),
    "exp": (1, strict(math.exp)), "expm1": (1, strict(math.expm1)), "log": (1, strict(math.log)), "log1p": (1, strict(math.log1p)), "log2": (1, strict(math.log2)),
    "log10": (1, strict(math.log10)), "pow": (2, strict(math.pow)), "floor": (1, strict(whole(math.floor))), "ceil": (1, strict(whole(math.ceil))), "trunc": (1, strict(whole(math.trunc))),
    "round": (1, strict(half_away)), "mod": (2, strict(lambda x, y: x % y)), "sin": (1, strict(math.sin)), "cos": (1, strict(math.cos)), "tan": (1, strict(math.tan)),
    "asin": (1, strict(math.asin)), "acos": (1, strict(math.acos)), "atan": (1, strict(math.atan)), "atan2": (2, strict(math.atan2)), "sinh": (1, strict(math.sinh)),
    "cosh": (1, strict(math.cosh)), "tanh": (1, strict(math.tanh)), "radians": (1, strict(math.radians)), "degrees": (1, strict(math.degrees)),
}  # fmt: skip


def grow(depth, rng):
    """(text, function of a row)"""
    if not depth or rng.random() < 0.1:
        if rng.random() < 0.7:
            name = rng.choice(NUMBERS)
            return name, lambda row: row[name]
        value = rng.choice([0.0, 1.0, 2.0, 0.5, 3.25, 1e3, 1e-3, None])
        return "null" if value is None else repr(value), lambda row: value
    kind = rng.random()
    if kind < 0.5:
        sign, f = rng.choice(list(BINARY.items()))
        (left, x), (right, y) = grow(depth - 1, rng), grow(depth - 1, rng)
        return "(%s) %s (%s)" % (left, sign, right), lambda row: f(x(row), y(row))
    if kind < 0.85:
        name, (count, f) = rng.choice(list(FUNCTIONS.items()))
        args = [grow(depth - 1, rng) for _ in range(count)]
        return "%s(%s)" % (name, ", ".join(a[0] for a in args)), lambda row: f(*(a[1](row) for a in args))
    text, x = grow(depth - 1, rng)
    if kind < 0.9:
        return "-(%s)" % text, lambda row: None if x(row) is None else -x(row)
    if kind < 0.94:
        return "not (%s)" % text, lambda row: None if x(row) is None else float(x(row) == 0)
    if kind < 0.97:
        return "(%s) is not null" % text, lambda row: float(x(row) is not None)
    return "(%s) not in (0, 1, 2.5)" % text, lambda row: None if x(row) is None else float(x(row) not in (0, 1, 2.5))


class Random(unittest.TestCase):
    def test_random_expressions(self):
        rng = random.Random(4)
        rows = [[rng.choice([None, 0.0, 1.0, -1.0, 2.0, 0.5, rng.gauss(0, 1), rng.gauss(0, 100), 1e300, 1e-300]) for _ in NUMBERS] for _ in range(40)]
        cases = [grow(1 + i % 4, rng) for i in range(4000)]
        values, nulls, exact = 0, 0, 0
        for (text, f), found in zip(cases, run(NUMBERS, rows, [text for text, _ in cases])):
            for row, value in zip(rows, found):
                wanted = f(dict(zip(NUMBERS, row)))
                values += 1
                nulls += wanted is None
                exact += wanted == value
                same = wanted == value or (wanted is not None and value is not None and abs(value - wanted) <= TOLERANCE * abs(wanted))
                self.assertTrue(same, "%s over %s is %r, not %r" % (text, row, value, wanted))
        print("%d values of %d expressions, %d null, %d not bit for bit" % (values, len(cases), nulls, values - exact))
        self.assertGreater(values - nulls, 50000)
        self.assertGreater(nulls, 10000)

    def test_texts(self):
        rows = [["energy"], ["banks"], [None]]
        found = run(["text_s"], rows, ["text_s = 'energy'", "text_s in ('banks', 'x')", "text_s is null", "if(text_s = 'banks', 1, 2)"])
        self.assertEqual(found, [[1, 0, None], [0, 1, None], [0, 0, 1], [2, 1, 2]])


class Calendar(unittest.TestCase):
    def test_parts_of_times_in_zones(self):
        rng = random.Random(5)
        times = [rng.randrange(-(2**52), 2**52) for _ in range(1500)]  # 1827 to 2112
        times += [int((datetime.datetime(y, m, d) - EPOCH).total_seconds()) * 1000000 + e for y in range(1900, 2101, 4) for m, d in ((1, 1), (2, 29 if y % 4 == 0 and y % 100 else 28), (12, 31)) for e in (-1, 0)]
        parts = {
            "hour": lambda t: t.hour, "minute": lambda t: t.minute, "second": lambda t: t.second, "minute_of_day": lambda t: t.hour * 60 + t.minute,
            "weekday": lambda t: t.weekday(), "weekend": lambda t: t.weekday() >= 5, "day": lambda t: (t - EPOCH).days, "day_of_month": lambda t: t.day,
            "day_of_year": lambda t: t.timetuple().tm_yday, "week": lambda t: t.isocalendar()[1], "month": lambda t: t.month, "quarter": lambda t: (t.month + 2) // 3,
            "year": lambda t: t.year,
        }  # fmt: skip
        zones = {"": 0, ', "-06:00"': -360, ', "+05:30"': 330, ', "+14:00"': 840, ', "Z"': 0}
        cases = [(name, zone) for name in parts for zone in zones]
        for (name, zone), found in zip(cases, run(["t"], [[float(t)] for t in times], ["%s(t%s)" % case for case in cases])):
            wanted = [float(parts[name](EPOCH + datetime.timedelta(microseconds=t, minutes=zones[zone]))) for t in times]
            self.assertEqual(found, wanted, (name, zone))

    def test_dates_in_a_list(self):
        holidays = sorted((datetime.datetime(2018, m, 1) - EPOCH).days for m in range(1, 13))
        days = [(datetime.datetime(2018, 1, 1) - EPOCH).days + i for i in range(365)]
        found = run(["t"], [[(d + 0.75) * 86400e6] for d in days], ["day(t) in holidays"], [("holidays", holidays)])[0]
        self.assertEqual([d for d, x in zip(days, found) if x], holidays)


def vector(lat, lon):
    lat, lon = math.radians(lat), math.radians(lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def angle(a, b):
    return math.atan2(math.hypot(*cross(a, b)), dot(a, b))


def meridian_arc(lat1, lat2, steps=2000):
    """Metres along a meridian of WGS 84, by Simpson's rule over its radius of curvature."""
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    x1, x2 = math.radians(lat1), math.radians(lat2)
    h = (x2 - x1) / steps
    radius = [a * (1 - e2) / (1 - e2 * math.sin(x1 + i * h) ** 2) ** 1.5 for i in range(steps + 1)]
    return abs(h / 3 * (radius[0] + radius[-1] + 4 * sum(radius[1:-1:2]) + 2 * sum(radius[2:-1:2])))


class Geodesy(unittest.TestCase):
    def setUp(self):
        rng = random.Random(6)
        self.rows = [[rng.uniform(-89, 89), rng.uniform(-180, 180), rng.uniform(-89, 89), rng.uniform(-180, 180)] for _ in range(1500)]
        self.rows += [[lat, lon, lat + rng.gauss(0, 0.01), lon + rng.gauss(0, 0.01)] for lat, lon, _, _ in self.rows[:500]]  # as between positions of a ship

    def near(self, text, wanted, absolute):
        found = run(["lat1", "lon1", "lat2", "lon2"], self.rows, [text])[0]
        for row, value in zip(self.rows, found):
            self.assertLessEqual(abs(value - wanted(*row)), absolute, (text, row))

    def test_great_circle(self):
        self.near("distance_m(lat1, lon1, lat2, lon2)", lambda *p: 6371008.8 * angle(vector(*p[:2]), vector(*p[2:])), 0.01)

    def test_bearing(self):
        def course(lat1, lon1, lat2, lon2):
            here, there, pole = vector(lat1, lon1), vector(lat2, lon2), (0, 0, 1)
            to, north = cross(here, there), cross(here, pole)
            return math.degrees(math.atan2(dot(cross(to, north), here), dot(to, north))) % 360

        found = run(["lat1", "lon1", "lat2", "lon2"], self.rows, ["bearing(lat1, lon1, lat2, lon2)"])[0]
        for row, value in zip(self.rows, found):
            self.assertTrue(0 <= value < 360)
            self.assertLess(abs((value - course(*row) + 180) % 360 - 180), 1e-6, row)

    def test_the_ellipsoid_along_meridians_and_the_equator(self):
        rng = random.Random(7)
        rows = [[rng.uniform(-90, 90), rng.uniform(-90, 90), rng.uniform(-180, 180)] for _ in range(40)]
        for (lat1, lat2, lon), value in zip(rows, run(["p", "q", "l"], rows, ["geodesic_m(p, l, q, l)"])[0]):
            self.assertLess(abs(value - meridian_arc(lat1, lat2)), 0.001)
        rows = [[rng.uniform(-180, 180), rng.uniform(0.001, 179)] for _ in range(40)]
        for (lon, d), value in zip(rows, run(["l", "d"], rows, ["geodesic_m(0, l, 0, l + d)"])[0]):
            self.assertLess(abs(value - 6378137.0 * math.radians(d)), 0.001)

    def test_the_ellipsoid_is_near_the_sphere_and_symmetric(self):
        forth, back, sphere = run(["a", "b", "c", "d"], self.rows, ["geodesic_m(a, b, c, d)", "geodesic_m(c, d, a, b)", "distance_m(a, b, c, d)"])
        for row, f, b, s in zip(self.rows, forth, back, sphere):
            if f is None:  # near the antipode
                self.assertGreater(s, 6371008.8 * math.radians(179), row)
            else:
                self.assertLess(abs(f - b), 0.001, row)
                self.assertLess(abs(f / s - 1), 0.0057, row)

    def test_angle_difference(self):
        rng = random.Random(8)
        rows = [[float(rng.randrange(-720, 721)), float(rng.randrange(-720, 721))] for _ in range(500)]
        for (a, b), value in zip(rows, run(["a", "b"], rows, ["angle_difference(a, b)"])[0]):
            wanted = (a - b) % 360
            self.assertEqual(value, wanted - 360 if wanted > 180 else wanted)


if __name__ == "__main__":
    if not os.path.exists(TOOL):
        print("skipped: there is no %s" % TOOL)
        sys.exit(77)
    unittest.main()
