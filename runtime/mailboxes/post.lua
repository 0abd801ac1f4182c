-- Posts commands to one mailbox, all rules in one atomic step: idempotency first, then the bound, then the entry.
-- KEYS: the stream, the awake key, then one idempotency key for each command that has one, in order.
-- ARGV: the bound (entries), awake (ms), idempotency memory (ms), schema version, then per command: entry, claim;
--       an empty claim is a command without an idempotency key.
-- Answers: 1 if the mailbox was asleep, then per command 'posted', 'full', or the claim that was there before, behind
--          'w' if its entry still waits, else '-'. What is remembered is the entry's id, a space, and the claim.
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
local answers = { 0 }
local next_key = 3
local added = false
for i = 5, #ARGV, 2 do
    local entry, claim = ARGV[i], ARGV[i + 1]
    local key, known = nil, false
    if claim ~= '' then
        key = KEYS[next_key]
        next_key = next_key + 1
        known = redis.call('GET', key)
    end
    if known then
        local id, first = string.match(known, '^(%d+%-%d+) (.*)$')
        local waits = id and #redis.call('XRANGE', KEYS[1], id, id) > 0
        answers[#answers + 1] = (waits and 'w' or '-') .. (first or known)
    elseif room <= 0 then
        answers[#answers + 1] = 'full'
    else
        local id = redis.call('XADD', KEYS[1], '*', 'v', ARGV[4], 'e', entry)
        if key then
            redis.call('SET', key, id .. ' ' .. claim, 'PX', ARGV[3])
        end
        room = room - 1
        added = true
        answers[#answers + 1] = 'posted'
    end
end
if added and redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) then
    answers[1] = 1
end
return answers
