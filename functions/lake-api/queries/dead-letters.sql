-- Messages that were given up on, by day, consumer and reason.
-- Parameters: first day, last day.
SELECT
  dt AS day,
  json_extract_scalar(data, '$.consumer') AS consumer,
  json_extract_scalar(data, '$.reasonCode') AS reason,
  count(*) AS messages
FROM events
WHERE source = 'ops'
  AND type = 'ops.event-quarantined.v1'
  AND dt BETWEEN ? AND ?
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
