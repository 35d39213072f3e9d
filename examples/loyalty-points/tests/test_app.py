"""python3 -m unittest discover tests (boto3 must be there, as it is in Lambda)"""

import json
import sys
import unittest
from pathlib import Path
from unittest import mock

from botocore.exceptions import ClientError

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

import app  # noqa: E402


def record(message_id, body):
    return {"messageId": message_id, "body": body}


def cancelled(*codes):
    response = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": [{"Code": code} for code in codes]}
    return ClientError(response, "TransactWriteItems")


class Handler(unittest.TestCase):
    def setUp(self):
        self.event = json.loads((HERE / "event.json").read_text())
        patch = mock.patch.object(app, "dynamodb")
        self.dynamodb = patch.start()
        self.addCleanup(patch.stop)

    def failures(self, *bodies):
        records = [record(f"m-{number}", body) for number, body in enumerate(bodies, 1)]
        answer = app.handler({"Records": records}, None)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def test_mark_and_points_are_one_transaction(self):
        self.assertEqual(self.failures(json.dumps(self.event)), [])
        [call] = self.dynamodb.transact_write_items.call_args_list
        put, update = call.kwargs["TransactItems"]
        self.assertEqual(put["Put"]["Item"], {"pk": {"S": f"event#{self.event['detail']['id']}"}})
        self.assertEqual(update["Update"]["ExpressionAttributeValues"], {":points": {"N": "32"}})

    def test_an_event_that_was_counted_is_done(self):
        self.dynamodb.transact_write_items.side_effect = cancelled("ConditionalCheckFailed", "None")
        self.assertEqual(self.failures(json.dumps(self.event)), [])

    def test_any_other_refusal_comes_again(self):
        self.dynamodb.transact_write_items.side_effect = cancelled("None", "TransactionConflict")
        self.assertEqual(self.failures(json.dumps(self.event)), ["m-1"])

    def test_a_message_that_is_no_event_fails_alone(self):
        self.assertEqual(self.failures("{ not JSON", json.dumps(self.event)), ["m-1"])
        self.assertEqual(self.dynamodb.transact_write_items.call_count, 1)


if __name__ == "__main__":
    unittest.main()
