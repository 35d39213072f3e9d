-- The time from placing an order to a carrier having it: the value that 50, 90 and 99 of 100 orders do not exceed, by
-- the day on which they were placed.
-- Parameters: first day, the last day whose events count, first day, last day.
WITH orders AS (
  SELECT
    min(CASE WHEN type = 'orders.order-placed.v1' THEN dt END) AS day,
    date_diff(
      'millisecond',
      min(CASE WHEN type = 'orders.order-placed.v1' THEN time END),
      min(CASE WHEN type = 'shipping.parcel-picked-up.v1' THEN time END)
    ) AS duration_ms
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND source = split_part(type, '.', 1)
  GROUP BY subject
),
ranked AS (
  SELECT day, duration_ms, cume_dist() OVER (PARTITION BY day ORDER BY duration_ms) AS share
  FROM orders
  WHERE day BETWEEN ? AND ?
    AND duration_ms IS NOT NULL
)
SELECT
  day,
  count(*) AS orders,
  min(CASE WHEN share >= 0.5 THEN duration_ms END) AS p50_ms,
  min(CASE WHEN share >= 0.9 THEN duration_ms END) AS p90_ms,
  min(CASE WHEN share >= 0.99 THEN duration_ms END) AS p99_ms
FROM ranked
GROUP BY day
ORDER BY day
