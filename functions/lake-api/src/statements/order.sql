-- Everything that is known of one order, and what it caused. Where that is more than an answer has room for, our own events
-- come first, then what we say of messages that were set aside (others can send any number of those), then what others say.
-- Parameters: first day, last day, id of the order (twice).
SELECT id, source, type, subject, time, correlation_id, causation_id, schema, data, origin, bus_id
FROM events
WHERE dt BETWEEN ? AND ?
  AND (subject = ? OR correlation_id = ?)
ORDER BY CASE WHEN origin IS NOT NULL THEN 2 WHEN source = 'ops' THEN 1 ELSE 0 END, time, id, bus_id
LIMIT 1001
