-- What was sold, by the day of the confirmation and by SKU, in minor units of each currency. Lines that no order can
-- have are left out and counted.
-- Parameters: first day, last day.
WITH lines AS (
  SELECT
    e.dt AS day,
    e.subject,
    TRY(json_extract_scalar(t.line, '$.sku')) AS sku,
    TRY(json_extract_scalar(t.line, '$.unitPrice.currency')) AS currency,
    TRY_CAST(TRY(json_extract_scalar(t.line, '$.quantity')) AS bigint) AS quantity,
    TRY_CAST(TRY(json_extract_scalar(t.line, '$.unitPrice.amountMinor')) AS bigint) AS unit_price_minor
  FROM events e
  CROSS JOIN UNNEST(coalesce(TRY_CAST(TRY(json_extract(e.data, '$.lines')) AS array(json)), ARRAY[JSON 'null'])) AS t (line)
  WHERE e.source = 'orders'
    AND e.type = 'orders.order-confirmed.v1'
    AND e.origin IS NULL
    AND e.dt BETWEEN ? AND ?
),
amounts AS (
  SELECT
    day,
    subject,
    sku,
    currency,
    quantity,
    CASE
      WHEN sku IS NOT NULL
        AND currency IS NOT NULL
        AND quantity BETWEEN 1 AND 9999
        AND unit_price_minor BETWEEN 0 AND 9007199254740991
      THEN CAST(quantity AS decimal(19, 0)) * CAST(unit_price_minor AS decimal(19, 0))
    END AS amount_minor
  FROM lines
),
sold AS (
  SELECT
    day,
    subject,
    sku,
    currency,
    CASE WHEN amount_minor <= 9007199254740991 THEN quantity END AS quantity,
    CASE WHEN amount_minor <= 9007199254740991 THEN amount_minor END AS amount_minor
  FROM amounts
)
SELECT
  day,
  sku,
  currency,
  count(DISTINCT CASE WHEN amount_minor IS NOT NULL THEN subject END) AS orders,
  coalesce(sum(quantity), 0) AS quantity,
  TRY_CAST(coalesce(sum(CAST(amount_minor AS decimal(38, 0))), 0) AS bigint) AS revenue_minor,
  count_if(amount_minor IS NULL) AS left_out
FROM sold
GROUP BY day, sku, currency
ORDER BY day, sku, currency
