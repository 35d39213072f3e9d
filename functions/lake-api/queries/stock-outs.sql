-- Orders refused because a SKU was short, by day and SKU: how many were asked for, and how many were missing.
-- Parameters: first day, last day.
WITH shortages AS (
  SELECT
    e.dt AS day,
    e.subject,
    json_extract_scalar(t.shortage, '$.sku') AS sku,
    TRY_CAST(json_extract_scalar(t.shortage, '$.requested') AS bigint) AS requested,
    TRY_CAST(json_extract_scalar(t.shortage, '$.available') AS bigint) AS available
  FROM events e
  CROSS JOIN UNNEST(TRY_CAST(json_extract(e.data, '$.shortages') AS array(json))) AS t (shortage)
  WHERE e.source = 'inventory'
    AND e.type = 'inventory.stock-rejected.v1'
    AND e.dt BETWEEN ? AND ?
)
SELECT
  day,
  sku,
  count(DISTINCT subject) AS orders,
  sum(requested) AS requested,
  sum(requested - available) AS missing
FROM shortages
WHERE requested IS NOT NULL
  AND available IS NOT NULL
GROUP BY day, sku
ORDER BY day, sku
