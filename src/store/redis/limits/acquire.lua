-- Charges all rules of one subject, or none of them.
--
-- KEYS[i]    the counter of rule i; all keys are in one slot
-- ARGV[i]    rule i, packed as <BBddddd>: the algorithm, 1 for a shadow, and five numbers:
--            s, f  cost, limit - cost, window, 0, 0
--            g     cost and burst as durations: microseconds and limit-ths of a microsecond of the
--                  cost; the burst in the same two units; the limit
-- ARGV[n+1]  the time in microseconds, in tests only; else the server's clock decides
--
-- Returns what each counter was before (nil: there was none, or not a valid one) and the time,
-- negative if the request is refused. The caller derives everything else by the same rules (see
-- src/quota). All numbers are integers below 2^53, which a double holds exactly. Writing a counter
-- in place keeps its expiry, which is set when its window begins and outlasts its meaning.
--
-- A counter is packed as <Bddd>: the algorithm and three numbers:
--   s  start of the window, use in this window, use in the previous window
--   f  end of the window, use, 0
--   g  theoretical arrival time in microseconds, and limit-ths of a microsecond; expiry of the key
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
local floor = math.floor
local SLIDING, FIXED = 115, 102 -- 's' and 'f'; GCRA is 'g'

-- ceil(a * b / m) where the product exceeds 2^53; a < 2^49, b <= m < 2^45
local function multiply_divide(a, b, m)
  local quotient, rest, digit = 0, 0, 4398046511104
  while digit >= 1 do
    local d = floor(a / digit)
    a = a - d * digit
    rest = rest * 128 + d * b
    local k = floor(rest / m)
    rest = rest - k * m
    quotient = quotient * 128 + k
    digit = digit / 128
  end
  if rest > 0 then return quotient + 1 end
  return quotient
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
local admitted = true

for i = 1, n do
  local kind, shadow, a, b, c, d, e = unpack_('<BBddddd', ARGV[i])
  local counter = reply[i]
  local x, y, z
  if counter then
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
    local cost, limit_less_cost, window = a, b, c
    local start, current, previous = x, y, z
    local rewrite = not start or previous > 2e12
    if rewrite then start, current, previous = now, 0, 0; reply[i] = false end
    local elapsed = now - start
    if elapsed < 0 then
      rewrite, start, elapsed = true, now, 0
    elseif elapsed >= window then
      rewrite = true
      elapsed = elapsed - window
      if elapsed < window then
        start, current, previous = start + window, 0, current
      else
        start, current, previous, elapsed = now, 0, 0, 0
      end
    end
    local left, free = window - elapsed, limit_less_cost - current
    local carried = previous * left
    if carried < 9007199254740992 and carried <= free * window
        or carried >= 9007199254740992 and multiply_divide(previous, left, window) <= free then
      if rewrite then
        write = pack('<Bddd', kind, start, current + cost, previous)
        ttl = floor((left + window) / 1000) + 10
      else
        write, ttl = pack('<d', current + cost), -9
      end
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

if not admitted then
  reply[n + 1] = -now
  return reply
end
for i = 1, n do
  local write, ttl = writes[i], ttls[i]
  if write then
    if ttl < 0 then
      call('SETRANGE', KEYS[i], -ttl, write)
    else
      call('SET', KEYS[i], write, 'PX', ttl)
    end
  end
end
reply[n + 1] = now
return reply
