-- Stops or continues to hand out writes. Runs after common.lua; uses KEYS[1] and [7].
--
-- ARGV[3]  1 or 0
allow_when_full()
redis.call('HSET', M, 'partitions', ARGV[1], 'paused', ARGV[3])
wake()
return 1
