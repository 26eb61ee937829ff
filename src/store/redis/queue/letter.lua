-- Retries or deletes a dead letter. Runs after common.lua; uses all KEYS, of which [16] is the list of
-- its key.
--
-- ARGV[3]  the id
-- ARGV[4]  its key, as the caller has seen it
-- ARGV[5]  r to retry it, d to delete it
--
-- Returns 1, or 0 if there is no such dead letter.
local id, key = ARGV[3], ARGV[4]
local write = letter_of(id)
if redis.call('HEXISTS', Y, id) == 0 then
  return 0
end
-- Only the types matter.
for _, hash in ipairs({ W, B, I, X, J }) do
  redis.call('HLEN', hash)
end
for _, zset in ipairs({ R, F, A, P, N, D }) do
  redis.call('ZCARD', zset)
end
local length = redis.call('LLEN', L)
if write and write[KEY] ~= key then
  return 0
end

if ARGV[5] == 'd' then
  allow_when_full()
  remove_letter(id)
  save()
  return 1
end
redis.call('HSET', M, 'partitions', ARGV[1])
if not write or redis.call('HEXISTS', B, id) == 0 then
  remove_letter(id)
  redis.call('HINCRBY', M, 'lost', 1)
  save()
  return 0
end
local _, result = letter_of(id)
local holds = unlink_letter(id, write)
local scope = write[SCOPE]
if scope then
  local ended = unpack_list(redis.call('HGET', J, scope))
  if ended and ended[1] == id then
    remove_scope(scope)
  end
  redis.call('HSETNX', I, scope, id .. write[PRINT])
end
-- At the front it keeps its seq, which is lower than those of the writes behind it.
if not holds then
  write[SEQ] = next_seq()
end
write[ACCEPTED], write[ATTEMPTS], write[FIRST], write[REASON] = now, 0, 0, result[8]
bytes = bytes + size_of(key, write[USER], redis.call('HSTRLEN', B, id))
store_write(id, write)
redis.call('ZADD', A, text(now), id)
if holds then
  redis.call('LPUSH', L, id)
  release(key, now)
else
  redis.call('RPUSH', L, id)
  if not phase_of(key) then
    release(key, now)
  end
end
save()
return 1
