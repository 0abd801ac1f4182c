#!lua flags=allow-oom
-- Who leads: the one worker process that all mailboxes are awake for. KEYS: the leader. ARGV: who asks, for how long
-- (ms). Answers 1 if it is the one, now or still.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
