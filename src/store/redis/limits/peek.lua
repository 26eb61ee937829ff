-- KEYS  counters of one subject, all in one slot
-- Replies with what each holds (nil: none, or not one of ours) and the server's time in microseconds.
local values = redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  if values[i] and #values[i] ~= 25 then values[i] = false end
end
local time = redis.call('TIME')
values[#KEYS + 1] = time[1] * 1000000 + time[2]
return values
