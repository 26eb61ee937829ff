-- Stores an entry unless what is there has the same epoch and a later n.
--
-- KEYS[1]  the entry's full key
-- ARGV[1]  the entry: magic in its first 4 bytes, epoch in bytes 17 to 24, n in bytes 25 to 32
-- ARGV[2]  its time to live in milliseconds, at least 1
--
-- Answers 1 if it was stored, else 0. Anything that is no entry is replaced.

local new = ARGV[1]
local there = redis.pcall('GETRANGE', KEYS[1], 0, 31)

if type(there) == 'string' and #there == 32
    and there:sub(1, 4) == new:sub(1, 4)
    and there:sub(17, 24) == new:sub(17, 24) then
  -- Two halves: a number of Lua holds 53 bits only, and comparing strings follows the locale.
  local high, low = struct.unpack('>I4I4', there:sub(25, 32))
  local new_high, new_low = struct.unpack('>I4I4', new:sub(25, 32))
  if high > new_high or (high == new_high and low > new_low) then
    return 0
  end
end

redis.call('SET', KEYS[1], new, 'PX', ARGV[2])
return 1
