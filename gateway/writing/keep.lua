-- Keeps an answer, unless there is one. Behind `generations.lua`.
-- KEYS: the newer and the older answers. ARGV: whose it is, the answer, how long (ms) and in how many bytes all are kept.
-- Answers what is kept already, if anything.
local kept = recall(KEYS[1], KEYS[2], ARGV[1])
if not kept then
    settle(KEYS[1], KEYS[2], remember(KEYS[1], ARGV[1], ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
end
return kept
