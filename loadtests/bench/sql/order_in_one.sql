-- The same order and facts as order.sql, as few would write it: one statement, so one round trip, committed by itself.
-- Its log is a sequence's (see order.sql). It is here because it is the fastest order a client of Postgres can place.
-- It expects plenty of stock: the bench checks that every transaction left an order.
\set a random(:first_sku, :first_sku + :sku_count - 1)
\set b :first_sku + (:a - :first_sku + random(1, :sku_count - 1)) % :sku_count
\set sku_1 least(:a, :b)
\set sku_2 greatest(:a, :b)
\set quantity_1 random(1, 5)
\set quantity_2 random(1, 5)
\set customer random(1, 1000)
\set key random(1, 1000000000000000)
WITH line_1 AS (
    UPDATE stock SET reserved = reserved + :quantity_1 FROM variants
    WHERE stock.sku = :sku_1 AND on_hand - reserved >= :quantity_1 AND variants.sku = stock.sku AND on_sale
    RETURNING stock.sku, :quantity_1::int AS quantity, price_minor
), line_2 AS (
    UPDATE stock SET reserved = reserved + :quantity_2 FROM variants, line_1
    WHERE stock.sku = :sku_2 AND on_hand - reserved >= :quantity_2 AND variants.sku = stock.sku AND on_sale
    RETURNING stock.sku, :quantity_2::int AS quantity, variants.price_minor,
        line_1.sku AS sku_1, line_1.quantity AS quantity_1, line_1.price_minor AS price_1
), placed AS (
    INSERT INTO orders (id, customer_id, status, currency, total_minor, placed_at, updated_at, placed_seq)
    SELECT uuidv7(), 'c' || :customer, 'placed', 'GBP', quantity_1 * price_1 + quantity * price_minor, now(), now(),
        nextval('event_seq')
    FROM line_2
    RETURNING id, total_minor, uuidv7() AS command_id, placed_seq AS seq
), lines AS (
    INSERT INTO order_lines (order_id, position, sku, quantity, unit_price_minor)
    SELECT id, 0, sku_1, quantity_1, price_1 FROM placed, line_2
    UNION ALL
    SELECT id, 1, sku, quantity, price_minor FROM placed, line_2
), logged AS (
    INSERT INTO events (seq, type, subject, command_id, actor, occurred_at, data)
    SELECT seq, 'order.placed', id, command_id, 'c' || :customer, now(), (
        '{"order_id":"' || id || '","customer_id":"c' || :customer || '","currency":"GBP","total_minor":' || total_minor
        || ',"lines":[{"sku":"' || sku_1 || '","quantity":' || quantity_1 || ',"unit_price_minor":' || price_1
        || '},{"sku":"' || sku || '","quantity":' || quantity || ',"unit_price_minor":' || price_minor || '}],"email":' || 'null}'
    )::json
    FROM placed, line_2
), keyed AS (
    INSERT INTO idempotency_keys (principal, key, command_id, fingerprint)
    SELECT 'c' || :customer, 'k-' || :key, command_id, :fingerprint::bytea FROM placed
)
INSERT INTO commands (id, type, principal, accepted_at, applied_at, mailbox, entry_id, status, seq, idempotency_key,
                      request)
    SELECT command_id, 'PlaceOrder', 'c' || :customer, now(), clock_timestamp(), 0, '1763800000000-0', 'applied', seq,
        'k-' || :key, :request::bytea
    FROM placed;
