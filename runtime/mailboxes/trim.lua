#!lua flags=allow-oom
-- Removes what is applied from a mailbox, and notes how far that is.
-- KEYS: the stream, what Redis knows of the log. ARGV: the position's milliseconds and sequence, the log's identity.
-- A stream whose last id lies before the position knows nothing of it (Redis was replaced): what it holds was not
-- applied. One that knows of another log may hold what this one has not applied. Both are left for `rejoin`.
-- Answers 1, or 0 for such a stream.
if redis.call('EXISTS', KEYS[1]) == 0 then
    return 1
end
local milliseconds, sequence = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[2], 'identity', 'position')
if known[1] and known[1] ~= ARGV[3] then
    return 0
end
local function is_before(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    ms, seq = tonumber(ms), tonumber(seq)
    return ms < milliseconds or (ms == milliseconds and seq < sequence)
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and is_before(info[i + 1]) then
        return 0
    end
end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%d-%d', milliseconds, sequence + 1))
if not known[2] or is_before(known[2]) then
    redis.call('HSET', KEYS[2], 'identity', ARGV[3], 'position', string.format('%d-%d', milliseconds, sequence))
end
return 1
