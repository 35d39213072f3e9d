"""@name@: listens to @type@."""

import json
import logging

logging.basicConfig(format="%(levelname)s %(message)s")  # outside Lambda, which has a handler of its own
LOG = logging.getLogger()
LOG.setLevel(logging.INFO)


def handle(event):
    """What becomes of one CloudEvent. It may come again: make its effect idempotent under `event["id"]`.

    An exception brings it back later, alone.
    """
    LOG.info("%s %s about %s", event["type"], event["id"], event["subject"])


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
