"""loyalty-points: a customer gets a point for every whole hundred minor units of a confirmed order."""

import json
import logging
import os

import boto3
from botocore.exceptions import ClientError

logging.basicConfig(format="%(levelname)s %(message)s")  # outside Lambda, which has a handler of its own
LOG = logging.getLogger()
LOG.setLevel(logging.INFO)

TABLE = os.environ.get("POINTS_TABLE", "points")
dynamodb = boto3.client("dynamodb", region_name=os.environ.get("AWS_REGION", "us-east-1"))


def points_of(total):
    """1 for 100 minor units: 32.99 EUR are 32 points."""
    return total["amountMinor"] // 100


def handle(event):
    """Counts an event once, however often it comes: its mark and the points are one transaction."""
    order = event["data"]
    try:
        dynamodb.transact_write_items(
            TransactItems=[
                {
                    "Put": {
                        "TableName": TABLE,
                        "Item": {"pk": {"S": f"event#{event['id']}"}},
                        "ConditionExpression": "attribute_not_exists(pk)",
                    }
                },
                {
                    "Update": {
                        "TableName": TABLE,
                        "Key": {"pk": {"S": f"customer#{order['customerId']}"}},
                        "UpdateExpression": "ADD points :points",
                        "ExpressionAttributeValues": {":points": {"N": str(points_of(order["total"]))}},
                    }
                },
            ]
        )
    except ClientError as error:
        reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
        if reasons[:1] != ["ConditionalCheckFailed"]:
            raise
        LOG.info("%s was counted before", event["id"])
        return
    LOG.info("%s is counted", event["id"])


def handler(batch, _context):
    """Handles each message on its own and reports those that failed."""
    failures = []
    for record in batch["Records"]:
        try:
            handle(json.loads(record["body"])["detail"])
        except Exception as error:  # whatever it is, it is this message's alone
            # Not its text: that may repeat personal data of the event.
            LOG.error("message %s failed: %s", record["messageId"], type(error).__name__)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
