-- Returns the counters of one subject and the time in microseconds, without charging.
--
-- KEYS[i]  a counter, packed as in acquire.lua; all keys are in one slot
-- ARGV[1]  the time in microseconds, in tests only; else the server's clock decides
--
-- A counter is nil if there is none, or not one of a counter's size.
local counters = redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  if counters[i] and #counters[i] > 49169 then counters[i] = false end
end
local now = ARGV[1]
if now then
  now = now + 0
else
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
counters[#KEYS + 1] = now
return counters
