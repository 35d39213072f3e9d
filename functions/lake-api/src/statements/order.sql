-- Everything that is known of one order, and what it caused.
-- Parameters: first day, last day, id of the order (twice).
SELECT id, source, type, subject, time, correlation_id, causation_id, schema, data
FROM events
WHERE dt BETWEEN ? AND ?
  AND (subject = ? OR correlation_id = ?)
ORDER BY time, id
LIMIT 1001
