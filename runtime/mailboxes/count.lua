-- How a mailbox stands: the last id it gave out, how many entries it was ever given, how many of them lie behind a
-- position, and what Redis knows of the log.
-- KEYS: the stream, the log's key. ARGV: the position. A stream that is not there has no id, and was never given
-- anything.
local stream, position, at_once = KEYS[1], ARGV[1], 100
local known = redis.call('HMGET', KEYS[2], 'identity', 'position')
if redis.call('EXISTS', stream) == 0 then
    return {false, 0, 0, known}
end
local info = redis.call('XINFO', 'STREAM', stream)
local last, added
for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
        last = info[i + 1]
    elseif info[i] == 'entries-added' then
        added = info[i + 1]
    end
end
local applied, from = 0, '-'
while true do
    local some = redis.call('XRANGE', stream, from, position, 'COUNT', at_once)
    applied = applied + #some
    if #some < at_once then
        break
    end
    from = '(' .. some[#some][1]
end
return {last, added, redis.call('XLEN', stream) - applied, known}
