-- What was sold, by the day of the confirmation and by SKU, in minor units of each currency.
-- Parameters: first day, last day.
WITH lines AS (
  SELECT
    e.dt AS day,
    e.subject,
    json_extract_scalar(t.line, '$.sku') AS sku,
    json_extract_scalar(t.line, '$.unitPrice.currency') AS currency,
    TRY_CAST(json_extract_scalar(t.line, '$.quantity') AS bigint) AS quantity,
    TRY_CAST(json_extract_scalar(t.line, '$.unitPrice.amountMinor') AS bigint) AS unit_price_minor
  FROM events e
  CROSS JOIN UNNEST(TRY_CAST(json_extract(e.data, '$.lines') AS array(json))) AS t (line)
  WHERE e.source = 'orders'
    AND e.type = 'orders.order-confirmed.v1'
    AND e.dt BETWEEN ? AND ?
)
SELECT
  day,
  sku,
  currency,
  count(DISTINCT subject) AS orders,
  sum(quantity) AS quantity,
  sum(quantity * unit_price_minor) AS revenue_minor
FROM lines
WHERE quantity IS NOT NULL
  AND unit_price_minor IS NOT NULL
GROUP BY day, sku, currency
ORDER BY day, sku, currency
