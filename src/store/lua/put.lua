-- Stores an entry unless the stored one is of the same key and epoch and has a later n.
--
-- KEYS[1]  the entry's full key
-- ARGV[1]  the entry: magic in bytes 1 to 4, epoch in bytes 17 to 24, n in bytes 25 to 32, hash of
--          the key in bytes 89 to 104
-- ARGV[2]  its time to live in milliseconds, at least 1
--
-- Returns 1 if it was stored, else 0. A value that is not an entry, or is that of another key, is
-- replaced.

local new = ARGV[1]
local stored = redis.pcall('GETRANGE', KEYS[1], 0, 103)

if type(stored) == 'string' and #stored == 104
    and stored:sub(1, 4) == new:sub(1, 4)
    and stored:sub(17, 24) == new:sub(17, 24)
    and stored:sub(89, 104) == new:sub(89, 104) then
  -- Compared in two halves: Lua's numbers hold 53 bits, and strings compare by locale.
  local high, low = struct.unpack('>I4I4', stored:sub(25, 32))
  local new_high, new_low = struct.unpack('>I4I4', new:sub(25, 32))
  if high > new_high or (high == new_high and low > new_low) then
    return 0
  end
end

redis.call('SET', KEYS[1], new, 'PX', ARGV[2])
return 1
