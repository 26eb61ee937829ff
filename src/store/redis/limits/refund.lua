-- Gives back charges that still count. Never creates a counter or changes its expiry.
--
-- KEYS[i]    the counter of refund i, packed as in acquire.lua; all keys are in one slot
-- ARGV[i]    refund i, packed as <Bdddd>: the algorithm, the anchor of the charge, and three numbers:
--            s, f  cost, window, 0
--            g     cost as a duration: microseconds, and limit-ths of a microsecond; the limit
-- ARGV[n+1]  the time in microseconds, in tests only; else the server's clock decides
--
-- Returns the number of keys.
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
local max = math.max
local SLIDING, GCRA = 115, 103 -- 's' and 'g'

local n = #KEYS
local now = ARGV[n + 1]
if now then
  now = now + 0
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local counters = call('MGET', unpack(KEYS))
for i = 1, n do
  local kind, anchor, a, b, c = unpack_('<Bdddd', ARGV[i])
  local counter = counters[i]
  if counter and #counter == 25 then
    local stored_kind, x, y, z = unpack_('<Bddd', counter)
    if stored_kind ~= kind then
      -- The limit has changed to another algorithm.
    elseif kind == GCRA then
      local cost, cost_part, limit = a, b, c
      local arrival, part = x, y
      local owed = anchor - now
      if owed > 0 then
        local refund, refund_part = owed, 0
        if cost < owed then refund, refund_part = cost, cost_part end
        if refund_part > part then arrival, part = arrival - 1, part + limit end
        local bytes = pack('<dd', max(0, arrival - refund), part - refund_part)
        call('SETRANGE', KEYS[i], 1, bytes)
      end
    else
      local cost, window = a, b
      local start, current, previous = x, y, z
      if anchor == start then
        call('SETRANGE', KEYS[i], 9, pack('<d', max(0, current - cost)))
      elseif kind == SLIDING and anchor + window == start then
        call('SETRANGE', KEYS[i], 17, pack('<d', max(0, previous - cost)))
      end
    end
  end
end
return n
