-- Orders that were rejected or cancelled, by the day on which they were placed and by the first reason given.
-- Parameters: first day, the last day whose events count, first day, last day.
WITH orders AS (
  SELECT
    subject,
    min(CASE WHEN type = 'orders.order-placed.v1' THEN dt END) AS day,
    min_by(type, date_format(time, '%Y-%m-%dT%H:%i:%s.%f') || id)
      FILTER (WHERE type IN ('orders.order-rejected.v1', 'orders.order-cancelled.v1', 'orders.order-confirmed.v1')) AS outcome,
    min_by(data, date_format(time, '%Y-%m-%dT%H:%i:%s.%f') || id)
      FILTER (WHERE type IN ('orders.order-rejected.v1', 'orders.order-cancelled.v1', 'orders.order-confirmed.v1')) AS data
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND source = split_part(type, '.', 1)
    AND origin IS NULL
  GROUP BY subject
)
SELECT
  day,
  CASE outcome WHEN 'orders.order-rejected.v1' THEN 'rejected' ELSE 'cancelled' END AS ending,
  coalesce(TRY(json_extract_scalar(data, '$.reasons[0].code')), TRY(json_extract_scalar(data, '$.reason.code')), 'unknown') AS reason,
  count(*) AS orders
FROM orders
WHERE day BETWEEN ? AND ?
  AND outcome IN ('orders.order-rejected.v1', 'orders.order-cancelled.v1')
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
