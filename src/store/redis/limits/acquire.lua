-- Charges all rules of one subject, or none of them.
--
-- KEYS[i]    the counter of rule i, all in one slot
-- ARGV[i]    rule i, packed as <BBddddd: algorithm, 1 for a shadow, then
--            s, f  cost, limit - cost, window, 0, 0
--            g     cost and burst as time: microseconds of the cost, limit-ths of one; of the burst; limit
-- ARGV[n+1]  the time in microseconds, for tests; otherwise the server's own
--
-- Replies with what each counter was before (nil: none, or not one of ours) and the time, negative if
-- refused: the caller derives the rest by the same rules (src/quota). All numbers are integers
-- below 2^53, exact in a double. Writing in place keeps the key's expiry, which is set when its
-- window begins and outlasts what the counter can still mean.
--
-- A counter is <Bddd: algorithm, then
--   s  begin of the window, its use, the use of the window before
--   f  end of the window, its use, 0
--   g  theoretical arrival time: microseconds, limit-ths of one; when the key expires
local call, pack, unpack_ = redis.call, struct.pack, struct.unpack
local floor = math.floor

-- ceil(a * b / m), exact where a product of doubles is not: a < 2^49, b <= m < 2^45
local function share(a, b, m)
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
local puts, ttls = {}, {}
local admitted = true

for i = 1, n do
  local kind, shadow, a, b, c, d, e = unpack_('<BBddddd', ARGV[i])
  local value = reply[i]
  local x, y, z
  if value then
    if #value == 25 then
      local was
      was, x, y, z = unpack_('<Bddd', value)
      -- another algorithm, or damaged (a comparison with NaN is false)
      if not (was == kind and x >= 0 and x < 9e15 and y >= 0 and y <= 2e12 and z >= 0 and z < 9e15
          and floor(x) == x and floor(y) == y and floor(z) == z) then
        x = nil
      end
    end
    if not x then reply[i] = false end
  end
  local put, ttl
  if kind == 115 then -- s
    local window = c
    local whole = not x or z > 2e12
    if whole then x, y, z = now, 0, 0; reply[i] = false end
    local elapsed = now - x
    if elapsed < 0 then
      whole, x, elapsed = true, now, 0
    elseif elapsed >= window then
      whole = true
      elapsed = elapsed - window
      if elapsed < window then
        x, y, z = x + window, 0, y
      else
        x, y, z, elapsed = now, 0, 0, 0
      end
    end
    local left, free = window - elapsed, b - y
    local carried = z * left
    if carried < 9007199254740992 and carried <= free * window
        or carried >= 9007199254740992 and share(z, left, window) <= free then
      if whole then
        put = pack('<Bddd', kind, x, y + a, z)
        ttl = floor((left + window) / 1000) + 10
      else
        put, ttl = pack('<d', y + a), -9
      end
    end
  elseif kind == 102 then -- f
    local last = now + c
    local whole = not x or x <= now
    if whole then x, y = last, 0 end
    if x > last then whole, x = true, last end
    if y <= b then
      if whole then
        put = pack('<Bddd', kind, x, y + a, 0)
        ttl = floor((x - now) / 1000) + 10
      else
        put, ttl = pack('<d', y + a), -9
      end
    end
  else -- g
    local last = now + c
    local expires = x and z or 0
    if not x or x < now then
      x, y = now, 0
    else
      if y >= e then y = e - 1 end
      if x > last or x == last and y > d then x, y = last, d end
    end
    x, y = x + a, y + b
    if y >= e then x, y = x + 1, y - e end
    if x < last or x == last and y <= d then
      if x < expires then
        put, ttl = pack('<dd', x, y), -1
      else
        local keep = c + c + 1000000
        put, ttl = pack('<Bddd', kind, x, y, now + keep), floor(keep / 1000) + 10
      end
    end
  end
  if put then
    puts[i], ttls[i] = put, ttl
  elseif shadow == 0 then
    admitted = false
  end
end

if not admitted then
  reply[n + 1] = -now
  return reply
end
for i = 1, n do
  local put, ttl = puts[i], ttls[i]
  if put then
    if ttl < 0 then
      call('SETRANGE', KEYS[i], -ttl, put)
    else
      call('SET', KEYS[i], put, 'PX', ttl)
    end
  end
end
reply[n + 1] = now
return reply
