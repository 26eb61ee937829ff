-- Finds the keys whose first write is due, and removes what has expired. Runs after common.lua and
-- hand_outs.lua; uses KEYS[1] to [15].
--
-- ARGV[3]  the most keys to return
--
-- Returns { keys and ids of their first writes, milliseconds until the next key is due or -1 }; or
-- { 'damaged' } if the keys do not agree with each other.
allow_when_full()
local from = hand_outs_from(0)
if remove_expired(100) then
  save()
end
local most = tonumber(ARGV[3])

local writes, letters = redis.call('HLEN', W), redis.call('HLEN', Y)
if redis.call('HLEN', K) ~= redis.call('ZCARD', R) + redis.call('ZCARD', F)
    or writes ~= redis.call('ZCARD', A)
    or writes + letters ~= redis.call('HLEN', B)
    or letters ~= redis.call('ZCARD', D)
    or redis.call('HLEN', I) > writes
    or redis.call('HLEN', X) ~= redis.call('ZCARD', P)
    or redis.call('HLEN', J) + redis.call('HLEN', E) + letters ~= redis.call('ZCARD', N)
    or redis.call('ZCOUNT', R, text(now + 2 * MAX_WAIT), '(+inf') > 0
    or redis.call('ZCOUNT', F, text(now + 2 * MAX_WAIT), '+inf') > 0 then
  return { 'damaged' }
end
if redis.call('HGET', M, 'paused') == '1' then
  return { {}, -1 }
end

-- Keys with their times, up to now.
local function due_in(zset)
  return redis.call('ZRANGEBYSCORE', zset, '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, most + 1)
end

-- The first time after now, or nil.
local function next_in(zset)
  local found = redis.call('ZRANGEBYSCORE', zset, '(' .. text(now), '(+inf', 'WITHSCORES',
    'LIMIT', 0, 1)
  return tonumber(found[2])
end

local found = {}
for _, zset in ipairs({ R, F }) do
  local due = due_in(zset)
  for i = 1, #due, 2 do
    found[#found + 1] = { tonumber(due[i + 1]), due[i] }
  end
end
local next_ready, next_lease = next_in(R), next_in(F)
local next_due = math.min(next_ready or math.huge, next_lease or math.huge)
if from > now then
  -- What is due becomes so at that time.
  next_due = math.max(from, #found > 0 and 0 or next_due)
  found = {}
elseif #found > most then
  next_due = now
end
table.sort(found, function(a, b) return a[1] < b[1] end)
local first = {}
for i = 1, math.min(#found, most) do
  local key = found[i][2]
  local _, id = phase_of(key)
  first[#first + 1] = key
  first[#first + 1] = id or NO_ID
end
return { first, next_due < math.huge and math.max(next_due - now, 0) or -1 }
