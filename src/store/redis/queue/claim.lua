-- Hands out the first write of a key. Runs after common.lua and hand_outs.lua; uses KEYS[1] to [8] and
-- the list of the key, [16].
--
-- ARGV[3]  the key
-- ARGV[4]  the id that the caller knows as the first; zeros if it knows none
-- ARGV[5]  the caller's token
-- ARGV[6]  its lease
-- ARGV[7]  how often a write is tried
-- ARGV[8]  how long after its first attempt
--
-- Returns { 'n' } for nothing, { 'l' } if the write was lost and has been taken off, or
-- { 'c', id, seq, attempt, accepted, 1 if it is for burial only, request }.
local key, seen, token, lease = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])

local function forget_key()
  redis.call('HDEL', K, key)
  redis.call('ZREM', R, key)
  redis.call('ZREM', F, key)
  return { 'n' }
end

-- Takes the first id off the list: its record was lost, or never was one of this key.
local function take_off_lost(id, write)
  redis.call('LPOP', L)
  if not write then
    redis.call('HDEL', W, id)
    redis.call('HDEL', B, id)
    redis.call('ZREM', A, id)
  elseif write[KEY] == key then
    remove_write(id, write)
    end_scope(id, write, 'l', 0)
  end
  redis.call('HINCRBY', M, 'lost', 1)
  release(key, now)
  save()
  return { 'l' }
end

-- Whether the phase allows to hand out a write.
local function is_due(kind, ready, leased)
  if kind == 'h' then
    return false
  end
  local time = tonumber((kind == 'f' and leased or kind == 'r' and ready) or '') or 0
  return time <= now or time > now + MAX_WAIT
end

allow_when_full()
local kind, phase_id, holder, is_spent = phase_of(key)
local ready, leased = redis.call('ZSCORE', R, key), redis.call('ZSCORE', F, key)
local id = redis.call('LINDEX', L, 0)
if not id and kind ~= 'h' then
  id = kind and restore_list(key)
  if not id then
    return forget_key()
  end
end
if not id or (seen ~= NO_ID and seen ~= id) then
  if id and kind == 'r' and phase_id ~= id then
    redis.call('HSET', K, key, 'r' .. id)
  end
  return { 'n' }
end
local from = hand_outs_from(lease)
local is_own = kind == 'f' and holder == token and phase_id == id
if not is_own then
  if from > now or redis.call('HGET', M, 'paused') == '1' or not is_due(kind, ready, leased) then
    return { 'n' }
  end
end
local write, request = write_of(id), redis.call('HGET', B, id)
if not write or not request or write[KEY] ~= key then
  return take_off_lost(id, write)
end
if not is_own then
  local first = write[FIRST]
  is_spent = write[ATTEMPTS] >= tonumber(ARGV[7])
    or (first > 0 and now - first > tonumber(ARGV[8]))
  if not is_spent then
    write[ATTEMPTS] = write[ATTEMPTS] + 1
    write[FIRST] = first > 0 and first or now
    store_write(id, write)
  end
end
redis.call('ZREM', R, key)
redis.call('ZADD', F, text(now + lease), key)
redis.call('HSET', K, key, 'f' .. (is_spent and '1' or '0') .. id .. token)
return { 'c', id, write[SEQ], write[ATTEMPTS], write[ACCEPTED], is_spent and 1 or 0, request }
