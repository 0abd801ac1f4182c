-- After past_orders.sql: what its orders reserve, and where the log stands.
WITH counted AS (
    UPDATE event_counter SET last_seq = (SELECT max(seq) FROM events)
)
UPDATE stock SET reserved = wanted.quantity
FROM (SELECT sku, sum(quantity) AS quantity FROM order_lines GROUP BY sku) AS wanted
WHERE stock.sku = wanted.sku
