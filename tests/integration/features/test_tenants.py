"""Two tenants in one pipeline; every way from one to the other is tried and must fail: SQL on tables, partitions, other schemas and functions, the history of features, the
HTTP API with a token of the other, with none, with an expired and a revoked one."""
import csv
import os
import sys
import urllib.error

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

import psycopg2  # noqa: E402

TENANTS = ("harbour%d" % os.getpid(), "o'reef%d" % os.getpid())
LOGINS = ("weirtest_a_%d" % os.getpid(), "weirtest_b_%d" % os.getpid())


def weir(*arguments, code=0, env=None):
    done = subprocess.run([BINARY, *arguments], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    assert done.returncode == code, "weir %s: exit %d, expected %d\n%s" % (" ".join(arguments), done.returncode, code, done.stderr)
    return done


def login_url(login):
    return PG.split("://")[0] + "://" + login + "@" + PG.split("@", 1)[1]


def as_login(login, sql):
    """Rows, or the SQLSTATE of the refusal."""
    connection = psycopg2.connect(login_url(login))
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        connection.close()


def execute(sql):
    connection = psycopg2.connect(PG)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()


def post(p, path, body, token=None):
    """(HTTP status, answer)"""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = "Bearer " + token
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (p.processes["run", "0"].port, path), json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def token_of(tenant, *arguments):
    return weir("tenants", "token", tenant, *arguments).stdout.strip()


def publish(p, payments):
    out = producer()
    for i, row in enumerate(payments.rows):
        tenant = TENANTS[i % 2]
        event = dict(payments.event(row), tenant=tenant)
        out.produce(p.topic("events"), p.encode(p.topic("events"), event), ("%s/%s" % (tenant, row["customer_id"])).encode())
    assert out.flush(60) == 0


def check_sql(p, count):
    table = '"%s".features_customer' % p.name
    for me, other, login in ((TENANTS[0], TENANTS[1], LOGINS[0]), (TENANTS[1], TENANTS[0], LOGINS[1])):
        assert as_login(login, "SELECT DISTINCT tenant FROM %s" % table) == [(me,)], "%s sees other rows" % login
        assert as_login(login, "SELECT count(*) FROM %s" % table) == [(count,)]
        assert as_login(login, "SELECT count(*) FROM %s WHERE tenant = '%s'" % (table, other.replace("'", "''"))) == [(0,)]
        partition = query("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '%s'::regclass LIMIT 1" % table)[0][0]
        for sql in ("SELECT * FROM %s" % partition, "SELECT * FROM weir.tokens", "SELECT * FROM weir.tenants", "SELECT * FROM weir.sink_offsets",
                    "INSERT INTO %s (tenant) VALUES ('%s')" % (table, me.replace("'", "''")), "DELETE FROM %s" % table, "ALTER TABLE %s DISABLE ROW LEVEL SECURITY" % table,
                    "SET ROLE \"weir_tenant_%s\"" % other, "SET ROLE weir_reader; SELECT weir.protect('%s', 'features_customer')" % p.name, "GRANT \"weir_tenant_%s\" TO \"%s\"" % (other, login)):
            refused = as_login(login, sql)
            assert refused == "42501", "%s: %s gave %r, expected a refusal" % (login, sql, refused)
        # A function that leaks its arguments is not run on rows that the policy hides.
        assert as_login(login, "SELECT count(*) FROM %s WHERE 1 / (CASE WHEN tenant = '%s' THEN 1 ELSE 0 END) = 1" % (table, me.replace("'", "''"))) == [(count,)]


def check_history(p, count):
    """A tenant's login makes its own training set, of rows in PostgreSQL and in files, and of no others, whatever it asks for."""
    env = {"WEIR_OBJECTS_DIR": os.path.join(p.dir, "objects")}
    out = os.path.join(p.dir, "history.csv")
    for me, other, login in ((TENANTS[0], TENANTS[1], LOGINS[0]), (TENANTS[1], TENANTS[0], LOGINS[1])):
        mine = dict(env, WEIR_PG_URL=login_url(login))
        weir("features", "history", p.path, "--out", out, env=mine)
        with open(out, newline="") as f:
            rows = list(csv.DictReader(f))
        assert {r["tenant"] for r in rows} == {me} and len(rows) == count, "%s: %d rows of %s" % (login, len(rows), {r["tenant"] for r in rows})
        assert any(float(r["customer_tx_count_30d"]) > 1 for r in rows), "no features in %r" % rows[:1]
        weir("features", "history", p.path, "--out", out, "--tenant", other, env=mine, code=1)
        assert as_login(login, "SELECT DISTINCT tenant FROM weir.offline_files") in ([], [(me,)])


def check_challenge(p, challenges):
    """A 401 says what is asked for, and whether what came was no valid token."""
    for authorization, expected in challenges.items():
        request = urllib.request.Request("http://127.0.0.1:%d/v2" % p.processes["run", "0"].port, headers={"Authorization": authorization} if authorization else {})
        try:
            urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            assert (error.code, error.headers["WWW-Authenticate"]) == (401, expected), (authorization, error.code, error.headers["WWW-Authenticate"])
        else:
            raise AssertionError("/v2 was answered to %r" % authorization)


def check_http(p, tokens):
    body = {"features": ["customer:customer_tx_count_30d"], "entities": {"customer_id": ["1"]}}
    answers = []
    for tenant, other, token in ((TENANTS[0], TENANTS[1], tokens[0]), (TENANTS[1], TENANTS[0], tokens[1])):
        status, answer = post(p, "/get-online-features", body, token)
        assert status == 200, answer
        index = answer["metadata"]["feature_names"].index("customer_tx_count_30d")
        assert answer["results"][index]["statuses"] == ["PRESENT"], answer
        answers.append(answer["results"][index]["values"][0])
        mine = dict(body, entities={"customer_id": ["1"], "tenant": [tenant]})
        assert post(p, "/get-online-features", mine, token)[0] == 200
        status, answer = post(p, "/get-online-features", dict(body, entities={"customer_id": ["1"], "tenant": [other]}), token)
        assert status == 403 and "only" in json.dumps(answer), (status, answer)
        status, answer = post(p, "/push", {"push_source_name": "events", "df": {"customer_id": ["1"]}}, token)
        assert status == 403 and "write" in json.dumps(answer), (status, answer)
    for bad in (None, "nonsense", tokens[0][:-1], tokens[0] + "0", tokens[2], tokens[3]):
        for path, sent in (("/get-online-features", body), ("/push", {}), ("/v2/models/%s/infer" % p.name, {})):
            status, answer = post(p, path, sent, bad)
            assert status == 401 and "token" in json.dumps(answer), "%s with %r: %d %r" % (path, bad, status, answer)
    check_challenge(p, {"": 'Bearer realm="weir"', "Bearer nonsense": 'Bearer realm="weir", error="invalid_token"'})
    for path in ("/v2", "/v2/models/" + p.name):
        assert get("http://127.0.0.1:%d%s" % (p.processes["run", "0"].port, path))[0] == 401, path
    for path in ("/healthz", "/v2/health/live", "/metrics"):
        assert get("http://127.0.0.1:%d%s" % (p.processes["run", "0"].port, path))[0] == 200, path
    return answers


def check_push(p, writer):
    """A pushed record gets the token's tenant, and may not name another."""
    row = {"transaction_id": ["pushed"], "tx_time": ["2024-03-20T00:00:00Z"], "customer_id": ["new"], "terminal_id": ["1"], "amount": [5.0]}
    status, answer = post(p, "/push", {"push_source_name": "events", "df": dict(row, tenant=[TENANTS[1]])}, writer)
    assert status == 403, (status, answer)
    status, answer = post(p, "/push", {"push_source_name": "events", "df": row}, writer)
    assert status == 200, (status, answer)
    sql = "SELECT tenant FROM \"%s\".features_customer WHERE entity = 'new'" % p.name
    wait_for("the pushed record in the offline store", lambda: query(sql), 30)
    assert query(sql) == [(TENANTS[0],)], query(sql)


def main():
    need("WEIR_STACK_DIR")
    weir("migrate")
    payments = Payments(600, customers=4)
    try:
        for tenant, login in zip(TENANTS, LOGINS):
            execute('CREATE ROLE "%s" LOGIN' % login)
            weir("tenants", "add", tenant)
            weir("tenants", "add", tenant)  # again is fine
            weir("tenants", "grant", tenant, "--login", login)
        weir("tenants", "add", "a/b", code=2)
        weir("tenants", "token", "nobody", code=1)
        tokens = [token_of(TENANTS[0]), token_of(TENANTS[1]), token_of(TENANTS[0], "--expires", "1s"), token_of(TENANTS[0])]
        writer = token_of(TENANTS[0], "--access", "write", "--doc", "push")
        weir("tenants", "revoke-token", tokens[3].split("_")[1])
        time.sleep(1.1)
        os.environ["WEIR_HTTP_AUTH"] = "token"
        with Pipeline() as p:
            p.start()
            publish(p, payments)
            wait_for("rows in the offline store", lambda: query('SELECT count(*) FROM "%s".features_customer' % p.name)[0][0] == 600, 60)
            check_sql(p, 300)
            check_history(p, 300)
            objects = {"WEIR_OBJECTS_DIR": os.path.join(p.dir, "objects")}
            weir("features", "compact", p.path, env=objects)
            assert query("SELECT count(*) FROM weir.offline_files WHERE pipeline = '%s'" % p.name)[0][0] > 0
            # As on a database whose role came after the tables.
            execute("REVOKE SELECT ON weir.offline_files FROM weir_reader")
            weir("features", "history", p.path, "--out", os.path.join(p.dir, "none.csv"), env=dict(objects, WEIR_PG_URL=login_url(LOGINS[0])), code=1)
            weir("tenants", "add", TENANTS[0])
            check_history(p, 300)
            answers = wait_for("the replica", lambda: check_http(p, tokens), 30)
            half = [[r for i, r in enumerate(payments.rows) if i % 2 == k and r["customer_id"] == "1"] for k in (0, 1)]
            for k, count in enumerate(answers):
                assert 0 < count <= len(half[k]), "tenant %s: %r payments of customer 1" % (TENANTS[k], count)
            check_push(p, writer)
            weir("tenants", "revoke-token", writer.split("_")[1])
            wait_for("the revoked token to be refused", lambda: post(p, "/push", {}, writer)[0] == 401, 15)
        listed = json.loads(weir("tenants", "list", "--output", "json").stdout)
        assert {t["tenant"]: t["logins"] for t in listed if t["tenant"] in TENANTS} == {t: [l] for t, l in zip(TENANTS, LOGINS)}, listed
        assert tokens[0] not in weir("tenants", "tokens").stdout
        weir("tenants", "drop", TENANTS[0], code=1)  # a login is left
    finally:
        for tenant, login in zip(TENANTS, LOGINS):
            weir("tenants", "revoke", tenant, "--login", login)
            weir("tenants", "drop", tenant)
            execute('DROP ROLE "%s"' % login)
    print("ok: SQL, HTTP and push stay within the tenant")


main()
