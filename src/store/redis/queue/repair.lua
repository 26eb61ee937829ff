-- Makes the keys of a partition agree with each other again, after another program has changed or
-- removed some. Runs after types.lua and common.lua; uses all KEYS, [16] only if the type of one list
-- is in doubt.
--
-- The writes in W that have a request decide: what else there is of a write is made again or removed.
-- A list that was removed is made again by the next claim, which also counts ids without a write as
-- lost. If hand-outs may have been lost, there are no new ones for as long as those can last. Returns
-- how many keys and records were removed.
allow_when_full()
bytes, dead_bytes = 0, 0

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do
    set[item] = true
  end
  return set
end

-- Adds a member that is missing, or whose score is not plausible.
local function ensure_score(zset, member, score, most)
  local found = tonumber(redis.call('ZSCORE', zset, member) or '')
  if not found or found > most then
    redis.call('ZADD', zset, text(score), member)
  end
end

local function remove_members(zset, is_known)
  for _, member in ipairs(redis.call('ZRANGE', zset, 0, -1)) do
    if not is_known(member) then
      redis.call('ZREM', zset, member)
    end
  end
end

local writes, keys = {}, {}
for _, id in ipairs(redis.call('HKEYS', W)) do
  local write = write_of(id)
  if #id == 16 and write and redis.call('HEXISTS', B, id) == 1 then
    writes[id] = true
    keys[write[KEY]] = true
    bytes = bytes + size_of(write[KEY], write[USER], redis.call('HSTRLEN', B, id))
    ensure_score(A, id, write[ACCEPTED], now)
    if write[SCOPE] then
      redis.call('HSETNX', I, write[SCOPE], id .. write[PRINT])
    end
  else
    redis.call('HDEL', W, id)
    removed = removed + 1
  end
end

local letters = {}
for _, id in ipairs(redis.call('HKEYS', Y)) do
  if #id == 16 and not writes[id] and letter_of(id) and redis.call('HEXISTS', B, id) == 1 then
    letters[id] = true
    dead_bytes = dead_bytes + redis.call('HSTRLEN', Y, id) + redis.call('HSTRLEN', B, id)
      + RECORD_OVERHEAD
    ensure_score(D, id, next_seq(), math.huge)
    ensure_score(N, 'd' .. id, now + MAX_WAIT, math.huge)
  else
    redis.call('HDEL', Y, id)
    removed = removed + 1
  end
end
remove_members(A, function(id) return writes[id] end)
remove_members(D, function(id) return letters[id] end)
for _, id in ipairs(redis.call('HKEYS', B)) do
  if not writes[id] and not letters[id] then
    redis.call('HDEL', B, id)
    removed = removed + 1
  end
end
for _, scope in ipairs(redis.call('HKEYS', I)) do
  if not writes[string.sub(redis.call('HGET', I, scope), 1, 16)] then
    redis.call('HDEL', I, scope)
  end
end

local known = set_of(redis.call('HKEYS', K))
local has_lost_hand_outs = false
for key in pairs(keys) do
  has_lost_hand_outs = has_lost_hand_outs or not known[key]
  known[key] = true
end
for key in pairs(known) do
  local kind, id = phase_of(key)
  if kind == 'h' and letters[id] then
    redis.call('ZREM', F, key)
    redis.call('ZADD', R, '+inf', key)
  elseif kind == 'f' then
    has_lost_hand_outs = has_lost_hand_outs or not redis.call('ZSCORE', F, key)
    redis.call('ZREM', R, key)
    ensure_score(F, key, now, now + MAX_WAIT)
  else
    if kind ~= 'r' then
      has_lost_hand_outs = true
      redis.call('HSET', K, key, 'r' .. NO_ID)
    end
    redis.call('ZREM', F, key)
    ensure_score(R, key, now, now + MAX_WAIT)
  end
end
remove_members(R, function(key) return known[key] end)
remove_members(F, function(key) return known[key] end)

for _, id in ipairs(redis.call('HKEYS', X)) do
  bytes = bytes + redis.call('HSTRLEN', X, id) + RECORD_OVERHEAD
  ensure_score(P, id, now + LAST_END, math.huge)
end
remove_members(P, function(id) return redis.call('HEXISTS', X, id) == 1 end)
for _, scope in ipairs(redis.call('HKEYS', J)) do
  bytes = bytes + SCOPE_SIZE
  ensure_score(N, 'j' .. scope, now + MAX_WAIT, math.huge)
end
for _, key in ipairs(redis.call('HKEYS', E)) do
  ensure_score(N, 'e' .. key, now + LAST_END, math.huge)
end
remove_members(N, function(name)
  local kind, rest = string.sub(name, 1, 1), string.sub(name, 2)
  return kind == 'd' and letters[rest]
    or kind == 'j' and redis.call('HEXISTS', J, rest) == 1
    or kind == 'e' and redis.call('HEXISTS', E, rest) == 1
end)
if has_lost_hand_outs then
  redis.call('HSET', M, 'since', text(now))
end
save()
wake()
return removed
