-- Orders by the day on which they were placed and where they stand.
-- Parameters: first day, the last day whose events count, first day, last day.
WITH orders AS (
  SELECT
    subject,
    min(CASE WHEN type = 'orders.order-placed.v1' THEN dt END) AS day,
    min_by(type, date_format(time, '%Y-%m-%dT%H:%i:%s.%f') || id)
      FILTER (WHERE type IN ('orders.order-rejected.v1', 'orders.order-cancelled.v1', 'orders.order-confirmed.v1')) AS outcome,
    count_if(type = 'orders.order-accepted.v1') AS accepted,
    count_if(type = 'inventory.stock-reserved.v1') AS reserved,
    count_if(type = 'payments.payment-requested.v1') AS requested,
    count_if(type = 'shipping.shipment-scheduled.v1') AS scheduled,
    count_if(type = 'shipping.shipment-departed.v1') AS departed,
    count_if(type = 'shipping.signature-collected.v1') AS signed
  FROM events
  WHERE dt BETWEEN ? AND ?
    AND source = split_part(type, '.', 1)
    AND (origin IS NULL OR type = 'shipping.signature-collected.v1')
  GROUP BY subject
)
SELECT
  day,
  CASE
    WHEN outcome = 'orders.order-rejected.v1' THEN 'rejected'
    WHEN outcome = 'orders.order-cancelled.v1' THEN 'cancelled'
    WHEN departed > 0 AND signed > 0 THEN 'delivered'
    WHEN departed > 0 THEN 'shipped'
    WHEN scheduled > 0 THEN 'shipment_scheduled'
    WHEN outcome = 'orders.order-confirmed.v1' THEN 'confirmed'
    WHEN requested > 0 THEN 'awaiting_payment'
    WHEN reserved > 0 THEN 'stock_reserved'
    WHEN accepted > 0 THEN 'accepted'
    ELSE 'placed'
  END AS status,
  count(*) AS orders
FROM orders
WHERE day BETWEEN ? AND ?
GROUP BY 1, 2
ORDER BY 1, 2
