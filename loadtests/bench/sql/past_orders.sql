-- Orders $1..$2 of the past, one each millisecond, the last one now: every row that applying them would have left, but
-- for stock (see past_stock.sql). $3: how many in all; $4: the last seq before them; $5, $6: the SKUs; $7: a command's
-- request. Their ids grow with time, as those of real orders do; customers and idempotency keys are spread at random.
WITH made AS MATERIALIZED (
    SELECT n, $4 + n AS seq, now() - ago AS at, uuidv7(-ago) AS order_id, uuidv7(-ago) AS command_id,
        'c' || random(1, 100000) AS customer, to_hex(random(0, 9223372036854775807)) AS key,
        ($5 + first)::text AS sku_1, ($5 + (first + random(1, $6 - 1)) % $6)::text AS sku_2
    FROM (
        SELECT n, ($3 - n) * interval '1 millisecond' AS ago, random(0, $6 - 1) AS first
        FROM generate_series($1::bigint, $2) AS n
    ) AS drawn
), placed AS (
    INSERT INTO orders (id, customer_id, status, currency, total_minor, placed_at, updated_at, placed_seq)
    SELECT order_id, customer, 'placed', 'GBP', v_1.price_minor + v_2.price_minor, at, at, seq
    FROM made JOIN variants v_1 ON v_1.sku = sku_1 JOIN variants v_2 ON v_2.sku = sku_2 ORDER BY n
), lines AS (
    INSERT INTO order_lines (order_id, position, sku, quantity, unit_price_minor)
    SELECT order_id, (sku = sku_2)::int, sku, 1, price_minor
    FROM made JOIN variants ON sku IN (sku_1, sku_2) ORDER BY n
), logged AS (
    INSERT INTO events (seq, type, subject, command_id, actor, occurred_at, data)
    SELECT seq, 'order.placed', order_id, command_id, customer, at, (
        '{"order_id":"' || order_id || '","customer_id":"' || customer || '","currency":"GBP","total_minor":'
        || v_1.price_minor + v_2.price_minor
        || ',"lines":[{"sku":"' || sku_1 || '","quantity":1,"unit_price_minor":' || v_1.price_minor
        || '},{"sku":"' || sku_2 || '","quantity":1,"unit_price_minor":' || v_2.price_minor || '}],"email":null}'
    )::json
    FROM made JOIN variants v_1 ON v_1.sku = sku_1 JOIN variants v_2 ON v_2.sku = sku_2 ORDER BY n
), keyed AS (
    INSERT INTO idempotency_keys (principal, key, command_id, fingerprint)
    SELECT customer, key, command_id, decode(md5(key), 'hex') FROM made ORDER BY n
)
INSERT INTO commands (id, type, principal, accepted_at, applied_at, mailbox, entry_id, status, seq, idempotency_key,
                      request)
    SELECT command_id, 'PlaceOrder', customer, at, at, 0, '0-' || n, 'applied', seq, key, $7::bytea
    FROM made ORDER BY n
