-- Orders refused because a SKU was short, by day and SKU: how many were asked for, and how many were missing. What is no
-- shortage is left out and counted.
-- Parameters: first day, last day.
WITH claimed AS (
  SELECT
    e.dt AS day,
    e.subject,
    TRY(json_extract_scalar(t.shortage, '$.sku')) AS sku,
    TRY_CAST(TRY(json_extract_scalar(t.shortage, '$.requested')) AS bigint) AS requested,
    TRY_CAST(TRY(json_extract_scalar(t.shortage, '$.available')) AS bigint) AS available
  FROM events e
  CROSS JOIN UNNEST(coalesce(TRY_CAST(TRY(json_extract(e.data, '$.shortages')) AS array(json)), ARRAY[JSON 'null'])) AS t (shortage)
  WHERE e.source = 'inventory'
    AND e.type = 'inventory.stock-rejected.v1'
    AND e.origin IS NULL
    AND e.dt BETWEEN ? AND ?
),
shortages AS (
  SELECT
    day,
    subject,
    sku,
    coalesce(sku IS NOT NULL AND available >= 0 AND available < requested AND requested <= 9007199254740991, FALSE) AS is_one,
    CAST(requested AS decimal(38, 0)) AS requested,
    CAST(available AS decimal(38, 0)) AS available
  FROM claimed
)
SELECT
  day,
  sku,
  count(DISTINCT CASE WHEN is_one THEN subject END) AS orders,
  TRY_CAST(coalesce(sum(CASE WHEN is_one THEN requested END), 0) AS bigint) AS requested,
  TRY_CAST(coalesce(sum(CASE WHEN is_one THEN requested - available END), 0) AS bigint) AS missing,
  count_if(NOT is_one) AS left_out
FROM shortages
GROUP BY day, sku
ORDER BY day, sku
