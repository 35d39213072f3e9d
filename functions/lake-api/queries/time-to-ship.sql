-- The time from placing an order to its shipment leaving: the value that 50, 90 and 99 of 100 orders do not exceed, by
-- the day on which they were placed. Orders that left before they were placed are left out and counted.
-- Parameters: first day, the last day whose events count, first day, last day.
WITH orders AS (
  SELECT
    min(CASE WHEN type = 'orders.order-placed.v1' THEN dt END) AS day,
    date_diff(
      'millisecond',
      min(CASE WHEN type = 'orders.order-placed.v1' THEN time END),
      min(CASE WHEN type = 'shipping.shipment-departed.v1' THEN time END)
    ) AS duration_ms
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND source = split_part(type, '.', 1)
    AND origin IS NULL
  GROUP BY subject
),
ranked AS (
  SELECT
    day,
    duration_ms,
    cume_dist() OVER (PARTITION BY day, duration_ms >= 0 ORDER BY duration_ms) AS share
  FROM orders
  WHERE day BETWEEN ? AND ?
    AND duration_ms IS NOT NULL
)
SELECT
  day,
  count_if(duration_ms >= 0) AS orders,
  min(CASE WHEN duration_ms >= 0 AND share >= 0.5 THEN duration_ms END) AS p50_ms,
  min(CASE WHEN duration_ms >= 0 AND share >= 0.9 THEN duration_ms END) AS p90_ms,
  min(CASE WHEN duration_ms >= 0 AND share >= 0.99 THEN duration_ms END) AS p99_ms,
  count_if(duration_ms < 0) AS left_out
FROM ranked
GROUP BY day
ORDER BY day
