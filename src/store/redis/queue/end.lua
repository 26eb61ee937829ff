-- Ends an attempt. Runs after common.lua; uses all KEYS, of which [16] is the list of the key.
--
-- ARGV[3]   the key
-- ARGV[4]   the id
-- ARGV[5]   the token
-- ARGV[6]   the outcome: d done, x dead, h dead and the key is held, a again, b back
-- ARGV[7]   the delay before it is tried again
-- ARGV[8]   the position in the journal, or nothing
-- ARGV[9]   + and the reason, or nothing
-- ARGV[10]  + and the answer, or nothing
-- ARGV[11]  how long the result is kept
-- ARGV[12]  how long the idempotency key is kept
-- ARGV[13]  the most dead letters
-- ARGV[14]  the most bytes of them
-- ARGV[15]  how long they are kept
--
-- Returns 1, or 0 if the lease is no longer held; then nothing is changed.
local key, id, outcome, kept = ARGV[3], ARGV[4], ARGV[6], tonumber(ARGV[11])
local reason = ARGV[9] ~= '' and string.sub(ARGV[9], 2)
local answer = ARGV[10] ~= '' and string.sub(ARGV[10], 2)

local kind, phase_id, token, is_spent = phase_of(key)
if kind ~= 'f' or phase_id ~= id or token ~= ARGV[5] or redis.call('LINDEX', L, 0) ~= id then
  return 0
end
-- Only the types matter.
for _, hash in ipairs({ B, I, X, J, E, Y }) do
  redis.call('HLEN', hash)
end
for _, zset in ipairs({ R, A, P, N, D }) do
  redis.call('ZCARD', zset)
end
local write = write_of(id)

local function bury(result)
  local packed = cmsgpack.pack({ write, result })
  redis.call('HSET', Y, id, packed)
  redis.call('ZADD', D, text(next_seq()), id)
  redis.call('ZADD', N, text(now + tonumber(ARGV[15])), 'd' .. id)
  dead_bytes = dead_bytes + #packed + redis.call('HSTRLEN', B, id) + RECORD_OVERHEAD
  for _ = 1, 1000 do
    if redis.call('ZCARD', D) <= tonumber(ARGV[13]) and dead_bytes <= tonumber(ARGV[14]) then
      break
    end
    local oldest = redis.call('ZRANGE', D, 0, 0)[1]
    if not oldest then
      break
    end
    remove_letter(oldest)
  end
end

local function finish(result_state)
  redis.call('LPOP', L)
  -- A record that was removed while it was in flight leaves no result.
  if not write then
    redis.call('HDEL', B, id)
    redis.call('ZREM', A, id)
    return
  end
  local is_dead = result_state == 'x'
  remove_write(id, write, is_dead)
  end_scope(id, write, result_state, tonumber(ARGV[12]))
  if is_dead then
    bury(result_of(write, result_state, kept, reason, answer))
  elseif kept < MIN_RESULT then
    -- It only recognises a repeated push.
    keep_result(id, result_of(write, result_state, kept))
  else
    keep_result(id, result_of(write, result_state, kept, reason, answer))
  end
end

allow_when_full()
if ARGV[8] ~= '' then
  redis.call('HSET', E, key, ARGV[8])
  redis.call('ZADD', N, text(now + LAST_END), 'e' .. key)
end
if outcome == 'a' then
  if write then
    write[REASON] = reason
    store_write(id, write)
  end
  release(key, now + math.min(tonumber(ARGV[7]), MAX_WAIT))
elseif outcome == 'b' then
  if write and not is_spent then
    write[ATTEMPTS] = math.max(write[ATTEMPTS] - 1, 0)
    if write[ATTEMPTS] == 0 then
      write[FIRST] = 0
    end
    store_write(id, write)
  end
  release(key, now)
else
  finish(outcome == 'd' and 'd' or 'x')
  if outcome == 'h' and redis.call('HEXISTS', Y, id) == 1 then
    redis.call('ZREM', F, key)
    redis.call('HSET', K, key, 'h' .. id)
    redis.call('ZADD', R, '+inf', key)
  else
    release(key, now)
  end
end
remove_expired(4)
save()
return 1
