-- A token bucket: takes from it what was used already, and then what is wanted, as far as it is there.
-- KEYS: the bucket. ARGV: tokens a second, burst, owed, wanted. What is owed is always taken, down to a burst below
-- nothing, and is negative if something is given back.
-- Answers: how many of the wanted were there, and what is left. The time is the server's, and if that goes back, nothing
-- comes in until it has passed again; a bucket that is full is not kept.
local rate, burst, owed, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left = burst
local known = redis.call('GET', KEYS[1])
if known then
    local before, at = string.match(known, '^(%S+) (%S+)$')
    left = math.min(burst, before + math.max(0, now - at) * rate)
end
left = math.min(burst, math.max(-burst, left - owed))
local taken = math.max(0, math.min(wanted, math.floor(left + 0.000001)))
left = left - taken
if owed ~= 0 or taken > 0 then
    if left < burst then
        local full_ms = math.ceil((burst - left) / rate * 1000)
        redis.call('SET', KEYS[1], string.format('%.6f %.6f', left, now), 'PX', full_ms)
    else
        redis.call('DEL', KEYS[1])
    end
end
return { taken, string.format('%.6f', left) }
