-- Charges all rules of one subject, or none of them.
--
-- KEYS[i]    the counter of rule i; all keys are in one slot
-- ARGV[i]    rule i, packed as <BBddddd>: the algorithm, 1 for a shadow, and five numbers:
--            w  cost, limit, window, sub-window, 0
--            f  cost, limit - cost, window, 0, 0
--            g  cost and burst as durations: microseconds and limit-ths of a microsecond of the
--               cost; the burst in the same two units; the limit
-- ARGV[n+1]  the time in microseconds, in tests only; else the server's clock decides
--
-- Returns a reply for each rule and the time, negative if the request is refused. Times are in
-- microseconds. All numbers are integers below 2^53, which a double holds exactly.
--   w     {what is used after the decision; the time until the cost fits, 0 if it was admitted; the
--         time until more is left}; a time is -1 for never
--   f, g  what the counter was before (nil: there was none, or not a valid one); the caller derives
--         everything else by the same rules (see src/quota)
--
-- A counter of f or g is packed as <Bddd>: the algorithm and three numbers. Writing it in place keeps
-- its expiry, which is set when its window begins and outlasts its meaning.
--   f  end of the window, use, 0
--   g  theoretical arrival time in microseconds, and limit-ths of a microsecond; expiry of the key
-- A counter of w consists of the algorithm; an <I7I5 for each admission, its time and cost, the oldest
-- first; and a trailer <I2I7I7: how many admissions have left the window, the sum of the costs of the
-- others, and the expiry of the key. Admissions that have left the window are removed several at a
-- time.
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
local floor, byte, sub = math.floor, string.byte, string.sub
local SLIDING, FIXED = 119, 102 -- 'w' and 'f'; GCRA is 'g'
local ADMISSION, TRAILER, LAST_AND_TRAILER = '<I7I5', '<I2I7I7', '<I7I5I2I7I7'
local MAX_PASSED, MAX_ADMISSIONS = 16, 4096

-- The admissions that count at `now`, and the sum of their costs. Those in the future become one at
-- `now`: the clock has stepped back.
local function cut(counter, first, count, now, window, sub_window)
  local left, used, late = {}, 0, 0
  for k = first, count - 1 do
    local at, cost = unpack_(ADMISSION, counter, 2 + 12 * k)
    if at > now then
      late = late + cost
    elseif at + window > now then
      left[#left + 1], used = {at, cost}, used + cost
    end
  end
  local last = left[#left]
  if last and late > 0 and last[1] - last[1] % sub_window == now - now % sub_window then
    last[1], last[2] = now, last[2] + late
  elseif late > 0 then
    left[#left + 1] = {now, late}
  end
  for k = 1, #left do left[k] = pack(ADMISSION, left[k][1], left[k][2]) end
  return table.concat(left), used + late
end

-- The time until `cost` fits, -1 for never.
local function time_until_free(counter, first, count, used, limit, cost, now, window)
  if cost > limit then return -1 end
  for k = first, count - 1 do
    local at, admitted = unpack_(ADMISSION, counter, 2 + 12 * k)
    used = used - admitted
    if used + cost <= limit then return math.max(1, math.min(window, at + window - now)) end
  end
  return window
end

local n = #KEYS
local now = ARGV[n + 1]
if now then
  now = now + 0
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local reply = call('MGET', unpack(KEYS))
local writes, ttls = {}, {} -- what to write, and its TTL; negative: the offset to write at
local repairs, uncharged = {}, {} -- what to write and to reply if the request is refused
local admitted = true

for i = 1, n do
  local kind, shadow, a, b, c, d, e = unpack_('<BBddddd', ARGV[i])
  local counter = reply[i]
  local x, y, z
  if counter and kind ~= SLIDING then
    if #counter == 25 then
      local stored_kind
      stored_kind, x, y, z = unpack_('<Bddd', counter)
      -- Another algorithm, or damaged (a comparison with NaN is false).
      if not (stored_kind == kind and x >= 0 and x < 9e15 and y >= 0 and y <= 2e12 and z >= 0
          and z < 9e15 and floor(x) == x and floor(y) == y and floor(z) == z) then
        x = nil
      end
    end
    if not x then reply[i] = false end
  end
  local write, ttl
  if kind == SLIDING then
    local cost, limit, window, sub_window = a, b, c, d
    local count, first, used, expires = 0, 0, 0, 0
    local head, head_cost, last, last_cost
    if counter then
      count = (#counter - 17) / 12
      if count >= 1 and count <= MAX_ADMISSIONS and count % 1 == 0
          and byte(counter) == SLIDING then
        last, last_cost, first, used, expires = unpack_(LAST_AND_TRAILER, counter, #counter - 27)
        if first >= count then first, count = 0, 0 end
      else
        count = 0
      end
    end
    if count > 0 then
      head, head_cost = unpack_(ADMISSION, counter, 2 + 12 * first)
      while first < count and head + window <= now do
        used, first = used - head_cost, first + 1
        if first < count then head, head_cost = unpack_(ADMISSION, counter, 2 + 12 * first) end
      end
      if first < count and (last > now or head > now) then
        local left
        left, used = cut(counter, first, count, now, window, sub_window)
        first, count, expires = 0, #left / 12, 0
        counter = 'w' .. left .. pack(TRAILER, 0, used, now + 2 * window)
        if count > 0 then
          repairs[i], ttls[i] = counter, floor(2 * window / 1000) + 10
          head, head_cost = unpack_(ADMISSION, counter, 2)
          last, last_cost = unpack_(ADMISSION, counter, #counter - 27)
        end
      end
    end
    -- Exact, unless the counter is damaged.
    if first == count or used < 0 then used = 0 end
    local more = used > 0 and head + window - now or -1
    if used + cost <= limit then
      if n > 1 then uncharged[i] = {used, 0, more} end
      if cost > 0 then
        local kept, sum = count, cost
        if first < count and last - last % sub_window == now - now % sub_window then
          kept, sum = count - 1, last_cost + cost
        end
        if first >= kept then more = window end
        used = used + cost
        if first >= MAX_PASSED or first == count or now + window > expires
            or expires > now + 2 * window then
          expires = now + 2 * window
          write = 'w' .. sub(counter or '', 2 + 12 * first, 1 + 12 * kept)
              .. pack(LAST_AND_TRAILER, now, sum, 0, used, expires)
          ttl = floor(2 * window / 1000) + 10
        else
          write = pack(LAST_AND_TRAILER, now, sum, first, used, expires)
          ttl = -1 - 12 * kept
        end
      else
        write, ttl = repairs[i] or '', ttls[i] or -1
      end
      reply[i] = {used, 0, more}
    else
      if used > limit then
        more = time_until_free(counter, first, count, used, limit, 1, now, window)
      end
      local after = head and head + window - now
      if not head or cost > limit or used - head_cost + cost > limit then
        after = time_until_free(counter, first, count, used, limit, cost, now, window)
      end
      reply[i] = {used, after, more}
    end
  elseif kind == FIXED then
    local cost, limit_less_cost, window = a, b, c
    local window_end, used = x, y
    local last = now + window
    local rewrite = not window_end or window_end <= now
    if rewrite then window_end, used = last, 0 end
    if window_end > last then rewrite, window_end = true, last end
    if used <= limit_less_cost then
      if rewrite then
        write = pack('<Bddd', kind, window_end, used + cost, 0)
        ttl = floor((window_end - now) / 1000) + 10
      else
        write, ttl = pack('<d', used + cost), -9
      end
    end
  else
    local cost, cost_part, burst, burst_part, limit = a, b, c, d, e
    local arrival, part = x, y
    local last = now + burst
    local expires = arrival and z or 0
    if not arrival or arrival < now then
      arrival, part = now, 0
    else
      if part >= limit then part = limit - 1 end
      if arrival > last or arrival == last and part > burst_part then
        arrival, part = last, burst_part
      end
    end
    arrival, part = arrival + cost, part + cost_part
    if part >= limit then arrival, part = arrival + 1, part - limit end
    if arrival < last or arrival == last and part <= burst_part then
      if arrival < expires then
        write, ttl = pack('<dd', arrival, part), -1
      else
        local keep = burst + burst + 1000000
        write, ttl = pack('<Bddd', kind, arrival, part, now + keep), floor(keep / 1000) + 10
      end
    end
  end
  if write then
    writes[i], ttls[i] = write, ttl
  elseif shadow == 0 then
    admitted = false
  end
end

for i = 1, n do
  local write, ttl = repairs[i], ttls[i]
  if admitted then write = writes[i] or write else reply[i] = uncharged[i] or reply[i] end
  if write and write ~= '' then
    if ttl < 0 then
      call('SETRANGE', KEYS[i], -ttl, write)
    else
      call('SET', KEYS[i], write, 'PX', ttl)
    end
  end
end
reply[n + 1] = admitted and now or -now
return reply
