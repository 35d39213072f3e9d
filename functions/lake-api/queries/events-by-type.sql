-- Events by day, source and type.
-- Parameters: first day, last day.
SELECT dt AS day, source, type, count(*) AS events
FROM events
WHERE dt BETWEEN ? AND ?
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
