-- How far the orders placed in a period came: of those that reached a stage, how many ended there, and how many are still there.
-- What others say counts where we asked for it: money once we asked for it, a signature once the shipment left.
-- Parameters: first day, the last day whose events count, first day, last day.
WITH progress AS (
  SELECT
    subject,
    min(CASE WHEN type = 'orders.order-placed.v1' THEN dt END) AS day,
    max(CASE type
      WHEN 'orders.order-placed.v1' THEN 1
      WHEN 'orders.order-accepted.v1' THEN 2
      WHEN 'inventory.stock-reserved.v1' THEN 3
      WHEN 'orders.order-confirmed.v1' THEN 5
      WHEN 'shipping.shipment-scheduled.v1' THEN 6
      WHEN 'shipping.shipment-departed.v1' THEN 7
    END) AS furthest,
    count_if(type = 'payments.payment-requested.v1') AS requested,
    count_if(type = 'payments.payment-captured.v1') AS captured,
    count_if(type = 'shipping.shipment-departed.v1') AS departed,
    count_if(type = 'shipping.signature-collected.v1') AS signed,
    count_if(type IN ('orders.order-rejected.v1', 'orders.order-cancelled.v1')) AS endings
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND source = split_part(type, '.', 1)
    AND (origin IS NULL OR type IN ('payments.payment-captured.v1', 'shipping.signature-collected.v1'))
  GROUP BY subject
),
orders AS (
  SELECT
    subject,
    CASE
      WHEN departed > 0 AND signed > 0 THEN 8
      WHEN furthest < 4 AND requested > 0 AND captured > 0 THEN 4
      ELSE furthest
    END AS furthest,
    endings
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
