-- Removes what is applied from a mailbox, and says that somebody is at work.
-- KEYS: the stream, the awake key. ARGV: the position's milliseconds and sequence, awake (ms).
-- A stream whose last id lies before the position knows nothing of it (Redis was replaced): what it holds was not
-- applied, and is left for `rejoin`. Answers 1, or 0 for such a stream.
if redis.call('EXISTS', KEYS[1]) == 0 then
    return 1
end
local milliseconds, sequence = tonumber(ARGV[1]), tonumber(ARGV[2])
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local last
for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
        last = info[i + 1]
    end
end
local last_milliseconds, last_sequence = string.match(last, '^(%d+)-(%d+)$')
last_milliseconds, last_sequence = tonumber(last_milliseconds), tonumber(last_sequence)
if last_milliseconds < milliseconds or (last_milliseconds == milliseconds and last_sequence < sequence) then
    return 0
end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%d-%d', milliseconds, sequence + 1))
redis.call('SET', KEYS[2], '1', 'XX', 'PX', ARGV[3])
return 1
