-- Accepts a write in the usual case: it is new, there is room, and it takes the place of no other.
-- Otherwise calls accept(), which is push.lua after common.lua; they explain KEYS, ARGV and the reply.
-- That one file would do for both, but makes many functions at each call, which takes as long as all
-- that is done here.
local call = redis.call
local M, W, B, I, K, R, F, A = unpack(KEYS, 1, 8)
local X, J, L = KEYS[9], KEYS[11], KEYS[16]
local id, scope, print, key, place, request = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[8], ARGV[9]
local user = ARGV[7] ~= '' and string.sub(ARGV[7], 2)

-- Whole numbers as common.lua writes them, or nil.
local meta = call('HMGET', M, 'partitions', 'seq', 'bytes', 'dead_bytes')
local function number(field)
  local digits = string.match(meta[field] or '0', '^%d+$')
  local n = digits and tonumber(digits)
  return n and n < 9007199254740992 and n
end
local seq, bytes, dead_bytes = number(2), number(3), number(4)
if meta[1] ~= ARGV[1] or not (seq and bytes and dead_bytes) then
  return accept()
end
if call('HEXISTS', B, id) == 1 or call('HEXISTS', X, id) == 1 then
  return accept()
end
if scope ~= '' and (call('HEXISTS', I, scope) == 1 or call('HEXISTS', J, scope) == 1) then
  return accept()
end
local length, phase = call('LLEN', L), call('HGET', K, key)
local size = 256 + #key + #(user or '') + #request
if (place ~= '' and length > 0) or (length == 0) ~= not phase
    or call('HLEN', W) >= tonumber(ARGV[10]) or length >= tonumber(ARGV[12])
    or bytes + dead_bytes + size > tonumber(ARGV[11]) then
  return accept()
end

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
seq = math.max(seq + 1, clock[1] * 1000000 + clock[2])
-- The first write: it is refused if Redis is out of memory.
call('HSET', M, 'seq', string.format('%.0f', seq), 'bytes', string.format('%.0f', bytes + size))
-- These keys were not read before.
call('ZADD', A, now, id)
call('HSET', B, id, request)
if not phase then
  call('ZADD', R, now, key)
end
call('HSET', W, id, cmsgpack.pack({ key, user, seq, now, 0, 0, scope ~= '' and scope,
  scope ~= '' and print, place, false }))
call('RPUSH', L, id)
if scope ~= '' then
  call('HSET', I, scope, id .. print)
end
if not phase then
  call('ZREM', F, key)
  call('HSET', K, key, 'r' .. id)
  redis.pcall('PUBLISH', ARGV[2], '')
end
return { 'a', '' }
