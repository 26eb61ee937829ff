-- Adds to a plain counter. Its time to live begins when it is created and is not prolonged.
--
-- KEYS[1]  the counter
-- ARGV[1]  the amount to add
-- ARGV[2]  the time to live in milliseconds
--
-- Returns the sum.
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
-- Lua's numbers are exact up to 2^53.
if math.abs(sum) > 9007199254740991 then
  return redis.call('GET', KEYS[1])
end
return sum
