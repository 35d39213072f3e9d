-- Events of a window, by time and by the bus's id, from behind a cursor on.
-- Parameters: first day, last day, end of the window, time of the cursor (twice) and its id, then type, source and subject
-- (each empty for any), and how many.
SELECT id, source, type, subject, time, correlation_id, causation_id, schema, data, origin, bus_id
FROM (
  SELECT
    id, source, type, subject, time, correlation_id, causation_id, schema, data, origin, bus_id,
    row_number() OVER (ORDER BY time, bus_id) AS position
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND time < ?
    AND (time > ? OR (time = ? AND bus_id > ?))
    AND ? IN ('', type)
    AND ? IN ('', source)
    AND ? IN ('', subject)
)
WHERE position <= ?
ORDER BY time, bus_id
