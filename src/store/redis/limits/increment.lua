-- Adds to a counter that expires: its time begins when it is made and is not prolonged.
--
-- KEYS[1]  the counter
-- ARGV[1]  what is added
-- ARGV[2]  its time to live in milliseconds
-- Replies with the sum.
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return sum
