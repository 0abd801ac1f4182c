-- One order of two lines in one transaction, statement by statement, with the facts Tidegate writes for it.
-- $counter (pgbench.py) gives its place in the log. Gapless: in commit order, so the counter's row is locked last, and
-- until the commit is on disk. Or a sequence: with gaps, not in commit order, and holding nobody up.
-- (The last null stands apart because pgbench would take what follows a colon for a variable.)
-- SKUs are the numbers first_sku..first_sku + sku_count - 1; of two, the smaller is locked first. An SKU that has run
-- out aborts the client, and pgbench says so.
\set a random(:first_sku, :first_sku + :sku_count - 1)
\set b :first_sku + (:a - :first_sku + random(1, :sku_count - 1)) % :sku_count
\set sku_1 least(:a, :b)
\set sku_2 greatest(:a, :b)
\set quantity_1 random(1, 5)
\set quantity_2 random(1, 5)
\set customer random(1, 1000)
\set key random(1, 1000000000000000)
BEGIN;
UPDATE stock SET reserved = reserved + :quantity_1 FROM variants
    WHERE stock.sku = :sku_1 AND on_hand - reserved >= :quantity_1 AND variants.sku = stock.sku AND on_sale
    RETURNING price_minor AS price_1 \gset
UPDATE stock SET reserved = reserved + :quantity_2 FROM variants
    WHERE stock.sku = :sku_2 AND on_hand - reserved >= :quantity_2 AND variants.sku = stock.sku AND on_sale
    RETURNING price_minor AS price_2 \gset
\set total :quantity_1 * :price_1 + :quantity_2 * :price_2
INSERT INTO order_lines (order_id, position, sku, quantity, unit_price_minor)
    VALUES (uuidv7(), 0, :sku_1, :quantity_1, :price_1)
    RETURNING order_id, uuidv7() AS command_id \gset
INSERT INTO order_lines (order_id, position, sku, quantity, unit_price_minor)
    VALUES (:order_id, 1, :sku_2, :quantity_2, :price_2);
WITH counted AS (
    $counter
), placed AS (
    INSERT INTO orders (id, customer_id, status, currency, total_minor, placed_at, updated_at, placed_seq)
    SELECT :order_id::uuid, 'c' || :customer, 'placed', 'GBP', :total, now(), now(), seq FROM counted
), logged AS (
    INSERT INTO events (seq, type, subject, command_id, actor, occurred_at, data)
    SELECT seq, 'order.placed', :order_id, :command_id::uuid, 'c' || :customer, now(), (
        '{"order_id":"' || :order_id || '","customer_id":"c' || :customer || '","currency":"GBP","total_minor":' || :total
        || ',"lines":[{"sku":"' || :sku_1 || '","quantity":' || :quantity_1 || ',"unit_price_minor":' || :price_1
        || '},{"sku":"' || :sku_2 || '","quantity":' || :quantity_2 || ',"unit_price_minor":' || :price_2 || '}],"email":' || 'null}'
    )::json
    FROM counted
), keyed AS (
    INSERT INTO idempotency_keys (principal, key, command_id, fingerprint)
    VALUES ('c' || :customer, 'k-' || :key, :command_id::uuid, :fingerprint::bytea)
)
INSERT INTO commands (id, type, principal, accepted_at, applied_at, mailbox, entry_id, status, seq, idempotency_key,
                      request)
    SELECT :command_id::uuid, 'PlaceOrder', 'c' || :customer, now(), clock_timestamp(), 0, '1763800000000-0', 'applied',
        seq, 'k-' || :key, :request::bytea
    FROM counted;
COMMIT;
