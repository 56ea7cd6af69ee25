"""A serve worker that is stopped under load, over HTTPS: it says that it is not ready, answers what still comes, closes connections behind its answers, and every answer is in the access log."""
import http.client
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from weirtest import *  # noqa: E402,F403

import threading  # noqa: E402

QUESTION = json.dumps({"features": ["customer:customer_tx_count_7d"], "entities": {"customer_id": ["nobody"]}})
ASKERS = 4


def make_certificate(folder):
    certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", key, "-out", certificate, "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def connect(port, trust):
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trust)


def status_of(port, trust, path):
    connection = connect(port, trust)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError:
        return None
    finally:
        connection.close()


class Asker(threading.Thread):
    """Asks over and over on one connection, until the server closes it behind an answer."""

    def __init__(self, port, trust):
        super().__init__()
        self.port, self.trust, self.answers, self.told, self.problem = port, trust, 0, False, None

    def run(self):
        connection = connect(self.port, self.trust)
        try:
            while not self.told:
                connection.request("POST", "/get-online-features", QUESTION)
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == 200, (answer.status, text)
                self.answers += 1
                self.told = answer.headers.get("Connection", "").lower() == "close"
        except Exception as problem:  # told by the main thread
            self.problem = problem
        finally:
            connection.close()


def main():
    with Pipeline() as p:
        subprocess.run([BINARY, "topics", "create", p.path], check=True, stdout=subprocess.DEVNULL)
        certificate, key = make_certificate(p.dir)
        access_log = os.path.join(p.dir, "access.log")
        trust = ssl.create_default_context(cafile=certificate)
        os.environ.update(WEIR_HTTP_TLS_CERT=certificate, WEIR_HTTP_TLS_KEY=key, WEIR_HTTP_ACCESS_LOG=access_log, WEIR_HTTP_LINGER_MS="8000")
        port = p.start("serve", wait=False).port
        wait_for("serve to be ready", lambda: status_of(port, trust, "/readyz") == 200, 90)
        askers = [Asker(port, trust) for _ in range(ASKERS)]
        for asker in askers:
            asker.start()
        wait_for("every asker's tenth answer", lambda: all(a.answers >= 10 or a.problem for a in askers))
        process = p.processes.pop(("serve", "0"))
        process.send_signal(signal.SIGTERM)
        wait_for("not ready", lambda: status_of(port, trust, "/readyz") == 503, 30, 0.02)
        for asker in askers:
            asker.join(60)
            assert asker.told and not asker.problem, "a connection ended without a word: %r after %d answers" % (asker.problem, asker.answers)
        assert process.wait(60) == 0, tail(process.log_path)
        with open(access_log) as f:
            lines = [json.loads(line) for line in f]
        asked = [line for line in lines if line["path"] == "/get-online-features"]
        assert len(asked) == sum(a.answers for a in askers) and all(line["status"] == 200 and line["method"] == "POST" and line["client"] == "127.0.0.1" for line in asked)
        assert {200, 503} <= {line["status"] for line in lines if line["path"] == "/readyz"}
        for name in ("CERT", "KEY"):
            del os.environ["WEIR_HTTP_TLS_" + name]
        print("serve left: %d answers over HTTPS, none lost" % len(asked))


main()
