"""The schema registry as real clients see it: confluent-kafka's SchemaRegistryClient and (de)serializers, and kcat.

Needs a running stack: WEIR_REGISTRY_URL, WEIR_BROKERS."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import unittest
import urllib.error
import urllib.request
import uuid

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

for needed in ("WEIR_REGISTRY_URL", "WEIR_BROKERS"):
    if not os.environ.get(needed):
        sys.exit(f"{needed} is not set: this test needs a running stack (./run up)")
URL = os.environ["WEIR_REGISTRY_URL"].rstrip("/")
BROKERS = os.environ["WEIR_BROKERS"]


def record(*fields, name="Payment"):
    return json.dumps({"type": "record", "name": name, "namespace": "weir.test", "fields": list(fields)})


ID = {"name": "id", "type": "string"}
AMOUNT = {"name": "amount", "type": "double"}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
REQUIRED = {"name": "required", "type": "string"}


def call(method, path, body=None):
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/vnd.schemaregistry.v1+json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], json.loads(error.read())


class Registry(unittest.TestCase):
    def setUp(self):
        self.client = SchemaRegistryClient({"url": URL})
        self.subject = f"test-{uuid.uuid4().hex[:12]}-value"

    def tearDown(self):
        call("DELETE", f"/subjects/{self.subject}")
        call("DELETE", f"/subjects/{self.subject}?permanent=true")
        call("DELETE", f"/config/{self.subject}")

    def refuses(self, code, action, *args, **kwargs):
        with self.assertRaises(SchemaRegistryError) as caught:
            action(*args, **kwargs)
        self.assertEqual(caught.exception.error_code, code, caught.exception)
        return caught.exception

    def test_versions_and_ids(self):
        first, second = Schema(record(ID), "AVRO"), Schema(record(ID, NOTE), "AVRO")
        id_1 = self.client.register_schema(self.subject, first)
        self.assertEqual(self.client.register_schema(self.subject, first), id_1)
        id_2 = SchemaRegistryClient({"url": URL}).register_schema(self.subject, second)
        self.assertNotEqual(id_1, id_2)
        fresh = SchemaRegistryClient({"url": URL})
        self.assertEqual(json.loads(fresh.get_schema(id_2).schema_str), json.loads(second.schema_str))
        self.assertIn(self.subject, fresh.get_subjects())
        self.assertEqual(fresh.get_versions(self.subject), [1, 2])
        latest = fresh.get_latest_version(self.subject)
        self.assertEqual((latest.version, latest.schema_id, latest.subject), (2, id_2, self.subject))
        self.assertEqual(fresh.get_version(self.subject, 1).schema_id, id_1)
        looked_up = fresh.lookup_schema(self.subject, first)
        self.assertEqual((looked_up.schema_id, looked_up.version), (id_1, 1))
        self.assertEqual(call("GET", f"/schemas/ids/{id_2}/versions")[2], [{"subject": self.subject, "version": 2}])
        self.assertEqual(call("GET", f"/schemas/ids/{id_2}/subjects")[2], [self.subject])
        self.assertEqual(call("GET", f"/subjects/{self.subject}/versions/latest/schema")[2], json.loads(second.schema_str))
        self.assertEqual(call("GET", "/schemas/types")[2], ["AVRO"])
        self.assertEqual(call("GET", "/mode")[2], {"mode": "READWRITE"})

    def test_same_schema_has_one_id_everywhere_however_it_is_written(self):
        other = self.subject.replace("-value", "-other-value")
        schema = {"type": "record", "name": "P", "fields": [{"name": "id", "type": {"type": "string"}}]}
        turned = {"fields": [{"type": "string", "name": "id"}], "name": "P", "type": "record"}
        try:
            a = self.client.register_schema(self.subject, Schema(json.dumps(schema, indent=4), "AVRO"))
            b = self.client.register_schema(other, Schema(json.dumps(turned), "AVRO"))
            self.assertEqual(a, b)
            self.assertEqual(self.client.lookup_schema(self.subject, Schema(json.dumps(turned), "AVRO")).version, 1)
        finally:
            call("DELETE", f"/subjects/{other}")
            call("DELETE", f"/subjects/{other}?permanent=true")

    def test_compatibility_levels(self):
        self.client.register_schema(self.subject, Schema(record(ID, AMOUNT), "AVRO"))
        bad = Schema(record(ID, AMOUNT, REQUIRED), "AVRO")
        self.assertEqual(self.client.get_config().compatibility_level or call("GET", "/config")[2]["compatibilityLevel"], "BACKWARD")
        error = self.refuses(409, self.client.register_schema, self.subject, bad)
        self.assertIn("required", error.error_message)
        self.assertFalse(self.client.test_compatibility(self.subject, bad))
        self.assertTrue(self.client.test_compatibility(self.subject, Schema(record(ID), "AVRO")))
        status, _, verbose = call("POST", f"/compatibility/subjects/{self.subject}/versions/latest?verbose=true", {"schema": bad.schema_str})
        self.assertEqual(status, 200)
        self.assertFalse(verbose["is_compatible"])
        self.assertIn("required", verbose["messages"][0])
        # (level, only removes a field, only adds one without default)
        for level, removes, adds in [("FORWARD", False, True), ("FULL", False, False), ("NONE", True, True), ("BACKWARD", True, False)]:
            self.assertEqual(call("PUT", f"/config/{self.subject}", {"compatibility": level})[2], {"compatibility": level})
            self.assertEqual(call("GET", f"/config/{self.subject}")[2], {"compatibilityLevel": level})
            self.assertEqual(self.client.test_compatibility(self.subject, Schema(record(ID), "AVRO")), removes, level)
            self.assertEqual(self.client.test_compatibility(self.subject, bad), adds, level)

    def test_transitive_levels_look_at_every_version(self):
        self.client.register_schema(self.subject, Schema(record(ID), "AVRO"))
        with_default = {"name": "x", "type": "int", "default": 1}
        self.client.register_schema(self.subject, Schema(record(ID, with_default), "AVRO"))
        third = {"schema": record(ID, {"name": "x", "type": "int"})}
        path = f"/compatibility/subjects/{self.subject}/versions"
        self.assertTrue(call("POST", path, third)[2]["is_compatible"])
        call("PUT", f"/config/{self.subject}", {"compatibility": "BACKWARD_TRANSITIVE"})
        self.assertFalse(call("POST", path, third)[2]["is_compatible"])
        self.assertEqual(call("POST", f"/subjects/{self.subject}/versions", third)[0], 409)

    def test_errors_have_confluents_codes(self):
        self.refuses(40401, self.client.get_versions, self.subject)
        self.refuses(40401, self.client.get_latest_version, self.subject)
        self.refuses(40403, self.client.get_schema, 2000000000)
        self.refuses(42201, self.client.register_schema, self.subject, Schema('{"type":"record"}', "AVRO"))
        self.refuses(42201, self.client.register_schema, self.subject, Schema("not json", "AVRO"))
        self.client.register_schema(self.subject, Schema(record(ID), "AVRO"))
        self.refuses(40402, self.client.get_version, self.subject, 9)
        self.refuses(40403, self.client.lookup_schema, self.subject, Schema(record(AMOUNT), "AVRO"))
        for path in (f"/subjects/{self.subject}/versions/zero", f"/subjects/{self.subject}/versions/0"):
            status, content_type, answer = call("GET", path)
            self.assertEqual((status, answer["error_code"]), (422, 42202))
            self.assertIn("application/vnd.schemaregistry.v1+json", content_type)
        self.assertEqual(call("POST", f"/subjects/{self.subject}/versions", b"{")[0], 400)
        self.assertEqual(call("POST", f"/subjects/{self.subject}/versions", {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"})[0], 422)
        references = {"schema": record(ID), "references": [{"name": "x", "subject": "y", "version": 1}]}
        self.assertEqual(call("POST", f"/subjects/{self.subject}/versions", references)[0], 422)
        self.assertEqual(call("PUT", f"/config/{self.subject}", {"compatibility": "SOMETIMES"})[2]["error_code"], 42203)
        self.assertEqual(call("GET", f"/config/{self.subject}")[2]["error_code"], 40408)
        self.assertEqual(call("GET", f"/config/{self.subject}?defaultToGlobal=true")[2], call("GET", "/config")[2])
        self.assertEqual(call("PATCH", "/subjects", {})[0], 405)
        self.assertEqual(call("GET", "/subjects/a/b/c/d/e/f/g/h")[0], 404)

    def test_deletion_is_soft_first(self):
        for schema in (record(ID), record(ID, NOTE)):
            self.client.register_schema(self.subject, Schema(schema, "AVRO"))
        self.assertEqual(call("DELETE", f"/subjects/{self.subject}/versions/2?permanent=true")[2]["error_code"], 40407)
        self.assertEqual(self.client.delete_version(self.subject, 2), 2)
        self.assertEqual(call("GET", f"/subjects/{self.subject}/versions")[2], [1])
        self.assertEqual(call("GET", f"/subjects/{self.subject}/versions?deleted=true")[2], [1, 2])
        self.assertEqual(call("DELETE", f"/subjects/{self.subject}/versions/2")[2]["error_code"], 40406)
        self.assertEqual(call("DELETE", f"/subjects/{self.subject}?permanent=true")[2]["error_code"], 40405)
        self.assertEqual(self.client.delete_subject(self.subject), [1])
        self.assertNotIn(self.subject, call("GET", "/subjects")[2])
        self.assertIn(self.subject, call("GET", "/subjects?deleted=true")[2])
        self.assertEqual(call("DELETE", f"/subjects/{self.subject}")[2]["error_code"], 40404)
        # A version number is not used again, and the subject comes back with the next one.
        fresh = SchemaRegistryClient({"url": URL})
        fresh.register_schema(self.subject, Schema(record(ID), "AVRO"))
        self.assertEqual(fresh.get_versions(self.subject), [3])
        fresh.delete_subject(self.subject)
        self.assertEqual(call("DELETE", f"/subjects/{self.subject}?permanent=true")[2], [1, 2, 3])
        self.assertNotIn(self.subject, call("GET", "/subjects?deleted=true")[2])

    def test_concurrent_registration_gives_each_schema_one_id_and_version(self):
        call("PUT", f"/config/{self.subject}", {"compatibility": "NONE"})
        schemas = [record(ID, {"name": f"f{i % 5}", "type": "int"}) for i in range(40)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda s: call("POST", f"/subjects/{self.subject}/versions", {"schema": s}), schemas))
        self.assertEqual({status for status, _, _ in answers}, {200})
        ids = [answer["id"] for _, _, answer in answers]
        self.assertEqual(len(set(ids)), 5)
        self.assertEqual([ids[i] for i in range(5)], [ids[i + 35] for i in range(5)])
        self.assertEqual(call("GET", f"/subjects/{self.subject}/versions")[2], [1, 2, 3, 4, 5])

    def test_round_trip_through_kafka_and_kcat(self):
        topic = self.subject.removesuffix("-value")
        admin = AdminClient({"bootstrap.servers": BROKERS})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        try:
            schema = record(ID, AMOUNT, NOTE)
            context = SerializationContext(topic, MessageField.VALUE)
            sent = [{"id": f"p{i}", "amount": i / 4, "note": None if i % 2 else "möwe"} for i in range(20)]
            serializer = AvroSerializer(self.client, schema)
            producer = Producer({"bootstrap.servers": BROKERS})
            for value in sent:
                producer.produce(topic, key=value["id"], value=serializer(value, context))
            self.assertEqual(producer.flush(30), 0)
            self.assertEqual(self.client.get_latest_version(self.subject).version, 1)

            deserializer = AvroDeserializer(SchemaRegistryClient({"url": URL}))
            consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": topic, "auto.offset.reset": "earliest"})
            consumer.subscribe([topic])
            got = []
            while len(got) < len(sent):
                message = consumer.poll(30)
                self.assertIsNotNone(message, "no record within 30 s")
                got.append(deserializer(message.value(), context))
            consumer.close()
            self.assertEqual(got, sent)

            self.check_kcat(topic, sent)
        finally:
            admin.delete_topics([topic])[topic].result(30)

    def check_kcat(self, topic, sent):
        self.assertIsNotNone(shutil.which("kcat"), "kcat is not installed")
        version = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True)
        if "Avro" not in version.stdout + version.stderr:
            self.skipTest("this build of kcat has no Avro; the round trip itself is fine")
        command = ["kcat", "-q", "-C", "-b", BROKERS, "-t", topic, "-e", "-o", "beginning", "-s", "value=avro", "-r", URL]
        out = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(out.returncode, 0, out.stderr)
        lines = [json.loads(line) for line in out.stdout.splitlines()]
        self.assertEqual([line["id"] for line in lines], [value["id"] for value in sent])
        self.assertEqual(lines[2]["note"], {"string": "möwe"})


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")  # the client leaves its sockets to the garbage collector
