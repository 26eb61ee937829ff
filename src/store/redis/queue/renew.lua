-- Extends a lease. Runs after common.lua; uses KEYS[1], [5] and [7].
--
-- ARGV[3]  the key
-- ARGV[4]  the id
-- ARGV[5]  the token
-- ARGV[6]  the lease
--
-- Returns 1, or 0 if it is no longer held.
allow_when_full()
local kind, id, token = phase_of(ARGV[3])
if kind ~= 'f' or id ~= ARGV[4] or token ~= ARGV[5] then
  return 0
end
redis.call('ZADD', F, text(now + tonumber(ARGV[6])), ARGV[3])
return 1
