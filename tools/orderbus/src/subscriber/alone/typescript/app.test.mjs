// npm install && npm test
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { handler } from "../dist/app.mjs";

const event = readFileSync(new URL("event.json", import.meta.url), "utf8");

test("an event is handled", async () => {
  const answer = await handler({ Records: [{ messageId: "m-1", body: event }] });
  assert.deepEqual(answer, { batchItemFailures: [] });
});

test("a message that is no event fails alone", async () => {
  const records = [{ messageId: "m-1", body: "{ not JSON" }, { messageId: "m-2", body: event }];
  assert.deepEqual(await handler({ Records: records }), { batchItemFailures: [{ itemIdentifier: "m-1" }] });
});
