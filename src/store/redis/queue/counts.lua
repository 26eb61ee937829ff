-- Counts what a partition holds. Runs after common.lua; changes nothing.
--
-- Returns { writes, in flight, dead letters, bytes, age of the oldest write in milliseconds, lost, 1 if
-- paused }.
local oldest = tonumber(redis.call('ZRANGE', A, 0, 0, 'WITHSCORES')[2] or '') or now
local other = redis.call('HMGET', M, 'lost', 'paused')
return { redis.call('HLEN', W), redis.call('ZCARD', F), redis.call('ZCARD', D), bytes + dead_bytes,
  math.max(now - oldest, 0), count(other[1]), other[2] == '1' and 1 or 0 }
