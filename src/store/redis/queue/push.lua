-- Accepts a write. Runs after common.lua; uses all KEYS, of which [16] is the list of its key.
--
-- ARGV[3]   its id
-- ARGV[4]   the scope of its idempotency key, or nothing
-- ARGV[5]   the fingerprint of its content
-- ARGV[6]   its key
-- ARGV[7]   + and its user, or nothing
-- ARGV[8]   p and a hash: it may take the place of a write with the same, and may give up its own;
--           d and a hash: it may only take the place of one with p and the first 8 bytes of that
--           hash; or nothing
-- ARGV[9]   the request
-- ARGV[10]  the most writes
-- ARGV[11]  the most bytes
-- ARGV[12]  the most writes of its key
-- ARGV[13]  how long the result of a superseded write is kept
-- ARGV[14]  how long the idempotency key of a superseded write is kept
-- ARGV[15]  1 if the caller waits until the write is durable
--
-- Returns { 'a', id of the superseded write or nothing }, { 'k', id, state } if it is known,
-- { 'o' } if its idempotency key is in use with another content, or { 'f', the exceeded bound:
-- w (writes), b (bytes) or k (writes of the key) }.
local id, scope, print, key, place, request = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[8], ARGV[9]
local user = ARGV[7] ~= '' and string.sub(ARGV[7], 2)

local function known(earlier, earlier_state)
  if ARGV[15] == '1' then
    -- WAIT and WAITAOF wait for the writes of this connection, and the earlier one was not.
    allow_when_full()
    redis.call('HSET', M, 'asked', text(now))
  end
  return { 'k', earlier, earlier_state }
end

if scope ~= '' then
  local queued = redis.call('HGET', I, scope) or ''
  local earlier, earlier_print = string.sub(queued, 1, 16), string.sub(queued, 17)
  local earlier_state = redis.call('HEXISTS', W, earlier) == 1 and state_of(earlier)
  if not earlier_state then
    local ended = unpack_list(redis.call('HGET', J, scope))
    if ended and type(ended[4]) == 'number' and ended[4] > now then
      earlier, earlier_print, earlier_state = ended[1], ended[2], ended[3]
    end
  end
  if earlier_state and earlier_print ~= print then
    return { 'o' }
  elseif earlier_state then
    return known(earlier, earlier_state)
  end
end
local is_known = redis.call('HEXISTS', B, id) == 1 or redis.call('HEXISTS', X, id) == 1
local own_state = is_known and state_of(id)
if own_state then
  return known(id, own_state)
end

-- Only the last write gives up its place, and only while it is not in flight.
local kind = phase_of(key)
local length = redis.call('LLEN', L)
if length == 0 and (kind == 'r' or kind == 'f') and restore_list(key) then
  length = redis.call('LLEN', L)
end
local older_id, older
if place ~= '' and length > 0 and not (length == 1 and kind == 'f') then
  older_id = redis.call('LINDEX', L, -1)
  older = write_of(older_id)
  local last = string.sub(place, 1, 1) == 'd' and 9 or 17
  if not older or string.sub(older[PLACE], 1, last) ~= 'p' .. string.sub(place, 2, last) then
    older_id, older = nil, nil
  end
end

local added = size_of(key, user, #request)
local result
if older then
  result = result_of(older, 's' .. id, tonumber(ARGV[13]))
  local scope_size = older[SCOPE] and tonumber(ARGV[14]) > 0 and SCOPE_SIZE or 0
  added = added - size_of(older[KEY], older[USER], redis.call('HSTRLEN', B, older_id))
    + #cmsgpack.pack(result) + RECORD_OVERHEAD + scope_size
elseif redis.call('HLEN', W) >= tonumber(ARGV[10]) then
  return { 'f', 'w' }
elseif length >= tonumber(ARGV[12]) then
  return { 'f', 'k' }
end

local function has_room()
  return bytes + dead_bytes + added <= tonumber(ARGV[11])
end

-- Removes the results that expire first, unless a repeated push may still need them.
local function make_room()
  remove_expired(100)
  while not has_room() do
    local oldest = redis.call('ZRANGE', P, 0, 0)[1]
    if not oldest then
      return
    end
    local found = unpack_list(redis.call('HGET', X, oldest))
    if is_result(found) and found[RESULT_ENDED] + MIN_RESULT > now then
      return
    end
    remove_result(oldest)
  end
end

-- The first write, here or below, is refused if Redis is out of memory.
local is_usual = not older and has_room()
if not is_usual then
  redis.call('HSET', M, 'partitions', ARGV[1])
end
if not has_room() then
  make_room()
  if not has_room() then
    save()
    return { 'f', 'b' }
  end
end
bytes = bytes + size_of(key, user, #request)
redis.call('HSET', M, 'partitions', ARGV[1], 'seq', text(next_seq()), 'bytes', text(bytes))
-- These keys were not read before.
redis.call('ZADD', A, text(now), id)
redis.call('HSET', B, id, request)
if not kind then
  redis.call('ZADD', R, text(now), key)
end
if older then
  redis.call('RPOP', L)
  remove_write(older_id, older)
  end_scope(older_id, older, 's' .. id, tonumber(ARGV[14]))
  keep_result(older_id, result)
end
store_write(id, { key, user, seq, now, 0, 0, scope ~= '' and scope, scope ~= '' and print, place,
  false })
redis.call('RPUSH', L, id)
if scope ~= '' then
  redis.call('HSET', I, scope, id .. print)
end
if not kind then
  make_ready(key, redis.call('LINDEX', L, 0), now)
elseif kind == 'r' and length == 1 and older then
  redis.call('HSET', K, key, 'r' .. id)
end
if not is_usual then
  save()
end
return { 'a', older_id or '' }
