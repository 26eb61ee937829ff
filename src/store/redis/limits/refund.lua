-- Gives back what was charged, as far as it still counts. Never creates a counter, never moves an expiry.
--
-- KEYS[i]    the counter of refund i, all in one slot; layout as in acquire.lua
-- ARGV[i]    packed as <Bddddd: algorithm, where the charge fell, then
--            s, f  cost, window, 0, 0
--            g     cost as time: microseconds, limit-ths of one; limit; 0
-- ARGV[n+1]  the time in microseconds, for tests; otherwise the server's own
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
local max = math.max

local n = #KEYS
local now = ARGV[n + 1]
if now then
  now = now + 0
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local values = call('MGET', unpack(KEYS))
for i = 1, n do
  local kind, anchor, a, b, c = unpack_('<Bddddd', ARGV[i])
  local value = values[i]
  if value and #value == 25 then
    local was, x, y, z = unpack_('<Bddd', value)
    if was ~= kind then
      -- counted anew by another algorithm since
    elseif kind == 103 then
      local owed = anchor - now
      if owed > 0 then
        local micros, part = owed, 0
        if a < owed then micros, part = a, b end
        if part > y then x, y = x - 1, y + c end
        call('SETRANGE', KEYS[i], 1, pack('<dd', max(0, x - micros), y - part))
      end
    elseif anchor == x then
      call('SETRANGE', KEYS[i], 9, pack('<d', max(0, y - a)))
    elseif kind == 115 and anchor + b == x then
      call('SETRANGE', KEYS[i], 17, pack('<d', max(0, z - a)))
    end
  end
end
return n
