-- Forgets an idempotency key, if what is remembered is still the claim that was found.
-- KEYS: the idempotency key. ARGV: the claim.
local known = redis.call('GET', KEYS[1])
if known and (string.match(known, '^%d+%-%d+ (.*)$') or known) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 1
