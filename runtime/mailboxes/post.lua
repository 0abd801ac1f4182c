-- Posts commands to one mailbox, all rules in one atomic step: idempotency first, then the bounds, then the entry.
-- Behind `generations.lua`. KEYS: the stream, the awake key, the weight, the newer and the older claims.
-- ARGV: the bounds (entries, bytes), awake (ms), idempotency memory (ms, bytes), schema version, then per command:
--       entry, idempotency key, claim; without a key both are empty.
-- Answers: 1 if the mailbox was asleep, then per command 'posted', 'full', or the claim that was there before, behind
--          'w' if its entry still waits, else '-'. What is remembered is the entry's id, a space, and the claim.
-- A claim that was found is as new as its entry: replicas that lack it would not be waited for (see `Copies`), if this
-- wrote nothing. So it then writes the weight, unchanged.
-- The weight is the stream's memory, measured at most once a second (it takes time in a long one), and what was added
-- since. What was removed since is left out, so a full mailbox may stay full for that second; an empty one has room,
-- whatever its bound.
local WEIGHED_MS = 1000
local AROUND_ENTRY = 24
local waiting = redis.call('XLEN', KEYS[1])
local room, max_bytes = tonumber(ARGV[1]) - waiting, tonumber(ARGV[2])
local weight, added = 0, 0
if waiting > 0 then
    local weighed = redis.call('GET', KEYS[3])
    if weighed then
        weight = tonumber(weighed)
    else
        weight = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0)
        redis.call('SET', KEYS[3], weight, 'PX', WEIGHED_MS)
    end
end
local answers = { 0 }
local claimed = 0
for i = 7, #ARGV, 3 do
    local entry, key, claim = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local known = key ~= '' and recall(KEYS[4], KEYS[5], key)
    if known then
        local id, first = string.match(known, '^(%d+%-%d+) (.*)$')
        local waits = #redis.call('XRANGE', KEYS[1], id, id) > 0
        if waits then
            redis.call('SET', KEYS[3], weight, 'KEEPTTL')
        end
        answers[#answers + 1] = (waits and 'w' or '-') .. first
    elseif room <= 0 or weight + added >= max_bytes then
        answers[#answers + 1] = 'full'
    else
        local id = redis.call('XADD', KEYS[1], '*', 'v', ARGV[6], 'e', entry)
        if key ~= '' then
            claimed = claimed + remember(KEYS[4], key, id .. ' ' .. claim)
        end
        room = room - 1
        added = added + #entry + AROUND_ENTRY
        answers[#answers + 1] = 'posted'
    end
end
if claimed > 0 then
    settle(KEYS[4], KEYS[5], claimed, tonumber(ARGV[4]), tonumber(ARGV[5]))
end
if added > 0 then
    if waiting > 0 then
        redis.call('INCRBY', KEYS[3], added)
    else
        redis.call('SET', KEYS[3], added, 'PX', WEIGHED_MS)
    end
    if redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[3]) then
        answers[1] = 1
    end
end
return answers
