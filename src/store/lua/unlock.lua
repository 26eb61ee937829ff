-- Gives a lock back if it is still held with this token.
--
-- KEYS[1]  the lock
-- ARGV[1]  the token
--
-- Answers 1 if it was given back, else 0.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('UNLINK', KEYS[1])
end
return 0
