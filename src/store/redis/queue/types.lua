-- The beginning of repair.lua: removes the keys whose value is of another type than common.lua says.
local TYPES = { 'hash', 'hash', 'hash', 'hash', 'hash', 'zset', 'zset', 'zset', 'hash', 'zset',
  'hash', 'zset', 'hash', 'zset', 'hash', 'list' }
local removed = 0
for i, name in ipairs(KEYS) do
  local found = redis.call('TYPE', name).ok
  if found ~= 'none' and found ~= TYPES[i] then
    redis.call('UNLINK', name)
    removed = removed + 1
  end
end

