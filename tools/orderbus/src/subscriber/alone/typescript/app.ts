// @name@: listens to @type@.
import type { SQSBatchResponse, SQSEvent } from "aws-lambda";

interface CloudEvent {
  id: string;
  type: string;
  subject: string;
  time: string;
  data: Record<string, unknown>;
}

/**
 * What becomes of one event. It may come again: make its effect idempotent under `event.id`.
 * An error brings it back later, alone.
 */
export async function handle(event: CloudEvent): Promise<void> {
  console.info(`${event.type} ${event.id} about ${event.subject}`);
}

/** Handles each message on its own and reports those that failed. */
export async function handler(batch: SQSEvent): Promise<SQSBatchResponse> {
  const failures = await Promise.all(
    batch.Records.map(async (record) => {
      try {
        const event: CloudEvent | undefined = JSON.parse(record.body).detail;
        if (event === undefined) throw new TypeError("no detail");
        await handle(event);
        return [];
      } catch (error) {
        // Not its text: that may repeat personal data of the event.
        console.error(`message ${record.messageId} failed: ${error instanceof Error ? error.name : "unknown"}`);
        return [{ itemIdentifier: record.messageId }];
      }
    }),
  );
  return { batchItemFailures: failures.flat() };
}
