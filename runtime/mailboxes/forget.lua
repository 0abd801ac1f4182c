-- Forgets an idempotency key, if what is remembered is still the claim that was found.
-- KEYS: the newer and the older claims. ARGV: the idempotency key, the claim.
for _, claims in ipairs(KEYS) do
    local known = redis.call('HGET', claims, ARGV[1])
    if known and string.match(known, '^%d+%-%d+ (.*)$') == ARGV[2] then
        redis.call('HDEL', claims, ARGV[1])
    end
end
return 1
