-- Returns how long a plain value will be kept.
--
-- KEYS[1]  the value's full key
-- ARGV[1]  the magic that entries begin with
--
-- Returns milliseconds as PTTL does: -1 for a value without a time to live, -2 for none, and -2 if
-- the key holds an entry, or something other than a string.

local head = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
if type(head) ~= 'string' or head == ARGV[1] then
  return -2
end
return redis.call('PTTL', KEYS[1])
