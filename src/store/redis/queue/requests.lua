-- Returns the requests of writes, nil for those that have ended.
--
-- KEYS[1]  W of common.lua
-- KEYS[2]  B of common.lua
-- ARGV     their ids
local found = {}
for i, id in ipairs(ARGV) do
  found[i] = redis.call('HEXISTS', KEYS[1], id) == 1 and redis.call('HGET', KEYS[2], id)
end
return found
