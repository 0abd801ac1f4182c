#!lua flags=allow-oom
-- Brings a stream into step with the position that Postgres has, after either of them was replaced or put back.
-- KEYS: the stream, what Redis knows of the log. ARGV: the position, its milliseconds and sequence, how many entries
-- were ever applied, the log's identity.
-- What is behind the position waits, and stays. If the stream has never come so far as the position, what it holds would
-- never be read: it is added again, behind it; whether it was applied before, the worker sees by the commands' ids. And
-- the count of entries ever added becomes what it must be.
local stream, position = KEYS[1], ARGV[1]
local milliseconds, sequence, applied = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('EXISTS', stream) == 0 then
    redis.call('XADD', stream, '0-1', 'v', '')
    redis.call('XDEL', stream, '0-1')
end
local stranded = {}
local info = redis.call('XINFO', 'STREAM', stream)
local last
for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
        last = info[i + 1]
    end
end
local last_milliseconds, last_sequence = string.match(last, '^(%d+)-(%d+)$')
last_milliseconds, last_sequence = tonumber(last_milliseconds), tonumber(last_sequence)
if last_milliseconds < milliseconds or (last_milliseconds == milliseconds and last_sequence < sequence) then
    stranded = redis.call('XRANGE', stream, '-', '+')
    last = position
end
redis.call('XTRIM', stream, 'MINID', string.format('%d-%d', milliseconds, sequence + 1))
redis.call('XSETID', stream, last, 'ENTRIESADDED', applied + redis.call('XLEN', stream))
for _, entry in ipairs(stranded) do
    redis.call('XADD', stream, '*', unpack(entry[2]))
end
redis.call('HSET', KEYS[2], 'identity', ARGV[5], 'position', position)
return redis.call('XLEN', stream)
