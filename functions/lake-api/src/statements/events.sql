-- Events of a window, by time and id, from behind a cursor on.
-- Parameters: first day, last day, end of the window, time of the cursor (twice) and its id, then type, source and subject
-- (each empty for any), and how many.
SELECT id, source, type, subject, time, correlation_id, causation_id, schema, data
FROM (
  SELECT
    id, source, type, subject, time, correlation_id, causation_id, schema, data,
    row_number() OVER (ORDER BY time, id) AS position
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND time < ?
    AND (time > ? OR (time = ? AND id > ?))
    AND ? IN ('', type)
    AND ? IN ('', source)
    AND ? IN ('', subject)
)
WHERE position <= ?
ORDER BY time, id
