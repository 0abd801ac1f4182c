-- Brings a stream back into step with the position that Postgres has, after Redis was replaced or restored.
-- KEYS: the stream. ARGV: the position, its milliseconds and sequence, how many entries were ever applied.
-- Entries at or before the position would never be read: they are added again, behind it. Whether they were applied
-- before, the worker sees by their ids. And the count of entries ever added becomes what it must be.
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
return #stranded
