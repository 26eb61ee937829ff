-- Finds dead letters, latest first.
--
-- KEYS[1]  D of common.lua
-- ARGV[1]  the most to return
--
-- Returns ids and their numbers in the order of death.
return redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'REV', 'WITHSCORES')
