-- What is remembered for a time and in so many bytes, in two hashes. When the newer one is as old as anything is to get,
-- or takes half of the bytes, the older is forgotten and it takes that one's place: so everything is remembered for at
-- least that time, and at most for twice as long, unless there is too much of it. The field without a name is how many
-- bytes the hash takes.
local BYTES = ''
local BYTES_AROUND = 96
local function recall(newer, older, field)
    return redis.call('HGET', newer, field) or redis.call('HGET', older, field)
end
-- Answers how many bytes that takes, for `settle`, which comes last in a script that remembers anything.
local function remember(newer, field, value)
    redis.call('HSET', newer, field, value)
    return #field + #value + BYTES_AROUND
end
local function settle(newer, older, remembered, kept_ms, max_bytes)
    local bytes = redis.call('HINCRBY', newer, BYTES, remembered)
    if bytes == remembered then
        redis.call('PEXPIRE', newer, 2 * kept_ms)
    end
    if bytes * 2 >= max_bytes or redis.call('PTTL', newer) <= kept_ms then
        redis.call('UNLINK', older)
        redis.call('RENAME', newer, older)
    end
end
