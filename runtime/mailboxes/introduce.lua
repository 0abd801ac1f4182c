#!lua flags=allow-oom
-- Lets a Redis that knows of no log know of this one: from now on it is told how far that has come. A log that it knows
-- is only replaced by `rejoin`. KEYS: the logs. ARGV: the identity.
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZADD', KEYS[1], 0, ARGV[1])
end
return 1
