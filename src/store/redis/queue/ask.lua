-- Returns the ids of a key's writes, oldest first, and the position of its last ended attempt or nil.
--
-- KEYS[1]  the list of the key: L of common.lua
-- KEYS[2]  E of common.lua
-- ARGV[1]  the key
return { redis.call('LRANGE', KEYS[1], 0, -1), redis.call('HGET', KEYS[2], ARGV[1]) }
