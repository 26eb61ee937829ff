-- Takes a lock that is free, or that no process of a keep can hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  the token
-- ARGV[2]  the lease in milliseconds, the same for all holders
--
-- Returns 0 if another process holds it, 1 if it was free, and 2 if another program has made it: without
-- an end, or with a later one than any lease. Others would wait for such a lock in vain.

if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 2
end
return 0
