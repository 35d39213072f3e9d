-- Messages that were given up on, by day, consumer and reason. Ours alone.
-- Parameters: first day, last day.
SELECT
  dt AS day,
  TRY(json_extract_scalar(data, '$.consumer')) AS consumer,
  TRY(json_extract_scalar(data, '$.reasonCode')) AS reason,
  count(*) AS messages
FROM events
WHERE source = 'ops'
  AND type = 'ops.event-quarantined.v1'
  AND origin IS NULL
  AND dt BETWEEN ? AND ?
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
