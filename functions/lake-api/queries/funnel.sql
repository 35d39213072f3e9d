-- How far the orders placed in a period came: of those that reached a stage, how many ended there, and how many are still there.
-- Parameters: first day, the last day whose events count, first day, last day.
WITH progress AS (
  SELECT
    subject,
    min(CASE WHEN type = 'orders.order-placed.v1' THEN dt END) AS day,
    max(CASE type
      WHEN 'orders.order-placed.v1' THEN 1
      WHEN 'orders.order-accepted.v1' THEN 2
      WHEN 'inventory.stock-reserved.v1' THEN 3
      WHEN 'payments.payment-captured.v1' THEN 4
      WHEN 'orders.order-confirmed.v1' THEN 5
      WHEN 'shipping.shipment-scheduled.v1' THEN 6
      WHEN 'shipping.parcel-picked-up.v1' THEN 7
      WHEN 'shipping.signature-collected.v1' THEN 8
    END) AS furthest,
    count_if(type IN ('orders.order-rejected.v1', 'orders.order-cancelled.v1')) AS endings
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND source = split_part(type, '.', 1)
  GROUP BY subject
),
orders AS (
  SELECT subject, furthest, endings
  FROM progress
  WHERE day BETWEEN ? AND ?
),
stages (step, stage) AS (
  VALUES
    (1, 'placed'),
    (2, 'accepted'),
    (3, 'stock reserved'),
    (4, 'paid'),
    (5, 'confirmed'),
    (6, 'shipment scheduled'),
    (7, 'shipped'),
    (8, 'delivered')
)
SELECT
  s.step,
  s.stage,
  count(o.subject) AS orders,
  count(CASE WHEN o.furthest = s.step AND o.endings > 0 THEN 1 END) AS dropped_out,
  count(CASE WHEN o.furthest = s.step AND o.endings = 0 THEN 1 END) AS still_there
FROM stages s
LEFT JOIN orders o ON o.furthest >= s.step
GROUP BY s.step, s.stage
ORDER BY s.step
