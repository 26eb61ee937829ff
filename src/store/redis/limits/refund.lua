-- Gives back charges that still count. Never creates a counter or changes its expiry.
--
-- KEYS[i]    the counter of refund i, packed as in acquire.lua; all keys are in one slot
-- ARGV[i]    refund i, packed as <Bdddd>: the algorithm, the anchor of the charge, and three numbers:
--            w  cost, sub-window, 0
--            f  cost, 0, 0
--            g  cost as a duration: microseconds, and limit-ths of a microsecond; the limit
-- ARGV[n+1]  the time in microseconds, in tests only; else the server's clock decides
--
-- Returns the number of keys.
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
local max, min, floor, byte, sub = math.max, math.min, math.floor, string.byte, string.sub
local SLIDING, GCRA = 119, 103 -- 'w' and 'g'
local ADMISSION, TRAILER = '<I7I5', '<I2I7I7'

-- Removes the cost from the admission at `time`, and the admission if nothing of it is left.
local function refund_admission(key, counter, time, cost, sub_window)
  local count = (#counter - 17) / 12
  local first, used, expires = unpack_(TRAILER, counter, #counter - 15)
  for k = count - 1, first, -1 do
    local at, admitted = unpack_(ADMISSION, counter, 2 + 12 * k)
    if at < time then return end
    if at - at % sub_window == time - time % sub_window then
      local back = min(cost, admitted)
      local trailer = pack(TRAILER, first, max(0, used - back), expires)
      if back < admitted then
        call('SETRANGE', key, 1 + 12 * k, pack(ADMISSION, at, admitted - back))
        call('SETRANGE', key, 1 + 12 * count, trailer)
      elseif count - first == 1 then
        call('UNLINK', key)
      else
        local left = sub(counter, 1, 1 + 12 * k) .. sub(counter, 14 + 12 * k, -17)
        call('SET', key, left .. trailer, 'KEEPTTL')
      end
      return
    end
  end
end

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
  local admissions = counter and (#counter - 17) / 12 or 0
  if kind == SLIDING then
    if admissions >= 1 and admissions <= 4096 and floor(admissions) == admissions
        and byte(counter) == SLIDING then
      refund_admission(KEYS[i], counter, anchor, a, b)
    end
  elseif counter and #counter == 25 then
    local stored_kind, x, y = unpack_('<Bdd', counter)
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
    elseif anchor == x then
      call('SETRANGE', KEYS[i], 9, pack('<d', max(0, y - a)))
    end
  end
end
return n
