"""python3 -m unittest discover tests"""

import json
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

import app  # noqa: E402


def record(message_id, body):
    return {"messageId": message_id, "body": body}


class Handler(unittest.TestCase):
    def setUp(self):
        self.event = json.loads((HERE / "event.json").read_text())

    def test_an_event_is_handled(self):
        answer = app.handler({"Records": [record("m-1", json.dumps(self.event))]}, None)
        self.assertEqual(answer, {"batchItemFailures": []})

    def test_a_message_that_is_no_event_fails_alone(self):
        records = [record("m-1", "{ not JSON"), record("m-2", json.dumps(self.event))]
        answer = app.handler({"Records": records}, None)
        self.assertEqual(answer, {"batchItemFailures": [{"itemIdentifier": "m-1"}]})


if __name__ == "__main__":
    unittest.main()
