-- The common beginning of the scripts that change one partition of the write-behind queue.
--
-- KEYS are the same in all scripts; those without a key of their own have no KEYS[16].
--  1  M hash   partitions, server (replication id), since (when it was first seen), lease (the longest
--              asked for), paused, seq, bytes, dead_bytes, lost, asked (see push.lua)
--  2  W hash   id -> write that has not ended (see KEY … REASON)
--  3  B hash   id -> request, of such writes and of dead letters
--  4  I hash   idempotency scope -> id and fingerprint of a write that has not ended
--  5  K hash   key -> phase: r ID (ready), f FLAG ID TOKEN (in flight; FLAG is 1 if for burial only),
--              h ID (held by this dead letter). ID of r is the first write, or zeros if unknown
--  6  R zset   key -> when it is due; infinite if it is held
--  7  F zset   key -> when its lease ends. A key of K is either in R or in F
--  8  A zset   id -> when it was accepted, of the writes in W
--  9  X hash   id -> result of an ended write (see RESULT_STATE …)
-- 10  P zset   id -> when its result expires
-- 11  J hash   idempotency scope of an ended write -> id, fingerprint, state, expiry
-- 12  N zset   when something else expires: j SCOPE of J, e KEY of E, d ID of a dead letter
-- 13  E hash   key -> position of its last ended attempt in the journal
-- 14  D zset   id of a dead letter -> a number that increases with each
-- 15  Y hash   id of a dead letter -> its write and its result
-- 16  L list   the ids of one key, oldest first
-- ARGV[1]  how many partitions the caller knows
-- ARGV[2]  the channel on which workers wait
--
-- No key has a time to live, so no volatile-* policy evicts one. Times are milliseconds of this
-- server's clock. Each script reads every key that it changes before it changes one, so that a value
-- of another type stops it while nothing is changed; repair.lua then removes that value.
local M, W, B, I, K, R, F, A = unpack(KEYS, 1, 8)
local X, P, J, N, E, D, Y, L = unpack(KEYS, 9, 16)

local KEY, USER, SEQ, ACCEPTED, ATTEMPTS, FIRST, SCOPE, PRINT, PLACE, REASON =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local RESULT_STATE, RESULT_ENDED, RESULT_EXPIRES = 1, 6, 7
local NO_ID = string.rep('\0', 16)
-- As in src/store/contracts/queue.rs.
local RECORD_OVERHEAD, SCOPE_SIZE, MIN_RESULT, LAST_END = 256, 128, 10000, 60000
-- Longer than any process asks for: a later time is not one of ours.
local MAX_WAIT = 31 * 24 * 3600 * 1000

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Formats a number without an exponent.
local function text(n)
  return string.format('%.0f', n)
end

-- A stored number; 0 if it is not a whole one.
local function count(value)
  local n = tonumber(value or '')
  if n and n >= 0 and n < 9007199254740992 and n == math.floor(n) then
    return n
  end
  return 0
end

local state = redis.call('HMGET', M, 'partitions', 'seq', 'bytes', 'dead_bytes')
if state[1] ~= ARGV[1] and count(state[1]) > 0 then
  return redis.error_reply('PARTITIONS the write-behind queue of this namespace has ' .. state[1]
    .. ' partitions, and this process expects ' .. ARGV[1] .. ' (1 on a server, 16 on a Cluster):'
    .. ' use another namespace, or empty the queue where it was made and delete its keys')
end
local seq, bytes, dead_bytes = count(state[2]), count(state[3]), count(state[4])

local function save()
  bytes, dead_bytes = math.max(bytes, 0), math.max(dead_bytes, 0)
  redis.call('HSET', M, 'partitions', ARGV[1], 'seq', text(seq), 'bytes', text(bytes),
    'dead_bytes', text(dead_bytes))
end

-- Redis that is out of memory refuses a script's first write if that may take memory, and allows all
-- later ones. Ending writes must be possible then, so their scripts begin with this one.
local function allow_when_full()
  redis.call('ZREM', F, '')
end

-- Greater than every earlier one, also after a failover that lost the latest ones.
local function next_seq()
  seq = math.max(seq + 1, clock[1] * 1000000 + clock[2])
  return seq
end

local function wake()
  -- The user may lack the permission for this channel: workers then wait longer.
  redis.pcall('PUBLISH', ARGV[2], '')
end

local function unpack_list(packed)
  local readable, list = pcall(cmsgpack.unpack, packed or '')
  return readable and type(list) == 'table' and list or nil
end

local function is_text(value)
  return type(value) == 'string' or value == false
end

local function is_write(write)
  if not write or type(write[KEY]) ~= 'string' or type(write[PLACE]) ~= 'string' then
    return false
  end
  for field = SEQ, FIRST do
    if type(write[field]) ~= 'number' then
      return false
    end
  end
  return is_text(write[USER]) and is_text(write[SCOPE]) and is_text(write[PRINT])
    and is_text(write[REASON])
end

-- The write that has not ended, or nil.
local function write_of(id)
  local write = unpack_list(redis.call('HGET', W, id))
  return is_write(write) and write or nil
end

local function store_write(id, write)
  redis.call('HSET', W, id, cmsgpack.pack(write))
end

local function size_of(key, user, length)
  return RECORD_OVERHEAD + #key + #(user or '') + length
end

-- The phase of a key: its kind or nil, an id, and for 'f' the token and whether it is for burial only.
local function phase_of(key)
  local packed = redis.call('HGET', K, key) or ''
  local kind = string.sub(packed, 1, 1)
  if kind == 'f' and #packed > 18 then
    return kind, string.sub(packed, 3, 18), string.sub(packed, 19), string.sub(packed, 2, 2) == '1'
  end
  if (kind == 'r' or kind == 'h') and #packed == 17 then
    return kind, string.sub(packed, 2)
  end
  return nil
end

-- Makes the list of the script's own key again, if it was lost. Returns the first id, or nil.
local function restore_list(key)
  local found = {}
  for _, id in ipairs(redis.call('HKEYS', W)) do
    local write = write_of(id)
    if write and write[KEY] == key then
      found[#found + 1] = { write[SEQ], id }
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  for _, write in ipairs(found) do
    redis.call('RPUSH', L, write[2])
  end
  return found[1] and found[1][2]
end

local function make_ready(key, first, due)
  redis.call('ZREM', F, key)
  redis.call('HSET', K, key, 'r' .. first)
  redis.call('ZADD', R, text(due), key)
  wake()
end

-- Lets the next write of the script's own key be handed out from `due` on.
local function release(key, due)
  local first = redis.call('LINDEX', L, 0)
  if first then
    make_ready(key, first, due)
  else
    redis.call('HDEL', K, key)
    redis.call('ZREM', R, key)
    redis.call('ZREM', F, key)
  end
end

-- A result: state, key, user, accepted, attempts, ended, expires, reason, answer.
local function result_of(write, result_state, kept, reason, answer)
  return { result_state, write[KEY], write[USER], write[ACCEPTED], write[ATTEMPTS], now,
    now + math.max(kept, MIN_RESULT), reason or false, answer or false }
end

local function is_result(result)
  if not result or type(result[RESULT_STATE]) ~= 'string' or type(result[KEY + 1]) ~= 'string' then
    return false
  end
  for field = RESULT_ENDED - 2, RESULT_EXPIRES do
    if type(result[field]) ~= 'number' then
      return false
    end
  end
  return is_text(result[3]) and is_text(result[8]) and is_text(result[9])
end

local function keep_result(id, result)
  local packed = cmsgpack.pack(result)
  redis.call('HSET', X, id, packed)
  redis.call('ZADD', P, text(result[RESULT_EXPIRES]), id)
  bytes = bytes + #packed + RECORD_OVERHEAD
end

local function remove_result(id)
  local length = redis.call('HSTRLEN', X, id)
  if redis.call('HDEL', X, id) == 1 then
    bytes = bytes - length - RECORD_OVERHEAD
  end
  redis.call('ZREM', P, id)
end

local function remove_scope(scope)
  if redis.call('HDEL', J, scope) == 1 then
    bytes = bytes - SCOPE_SIZE
  end
  redis.call('ZREM', N, 'j' .. scope)
end

-- Moves the idempotency key of a write that ends; its time begins now.
local function end_scope(id, write, result_state, kept)
  local scope = write[SCOPE]
  if not scope then
    return
  end
  if string.sub(redis.call('HGET', I, scope) or '', 1, 16) == id then
    redis.call('HDEL', I, scope)
  end
  if kept > 0 then
    local entry = { id, write[PRINT], result_state, now + kept }
    bytes = bytes + SCOPE_SIZE * redis.call('HSET', J, scope, cmsgpack.pack(entry))
    redis.call('ZADD', N, text(now + kept), 'j' .. scope)
  end
end

-- Removes what W, A and, unless it becomes a dead letter, B have of a write.
local function remove_write(id, write, keeps_request)
  bytes = bytes - size_of(write[KEY], write[USER], redis.call('HSTRLEN', B, id))
  redis.call('HDEL', W, id)
  redis.call('ZREM', A, id)
  if not keeps_request then
    redis.call('HDEL', B, id)
  end
end

-- The write and the result of a dead letter, or nil.
local function letter_of(id)
  local letter = unpack_list(redis.call('HGET', Y, id))
  if letter and type(letter[1]) == 'table' and is_write(letter[1])
      and type(letter[2]) == 'table' and is_result(letter[2]) then
    return letter[1], letter[2]
  end
end

-- Removes a dead letter, but not its request. Returns whether its key was held by it.
local function unlink_letter(id, write)
  local length = redis.call('HSTRLEN', Y, id) + redis.call('HSTRLEN', B, id)
  if redis.call('HDEL', Y, id) == 1 then
    dead_bytes = dead_bytes - length - RECORD_OVERHEAD
  end
  redis.call('ZREM', D, id)
  redis.call('ZREM', N, 'd' .. id)
  local kind, holder
  if write then
    kind, holder = phase_of(write[KEY])
  end
  return kind == 'h' and holder == id
end

-- Removes a dead letter, and releases its key if it holds it. Its result is kept for its time.
local function remove_letter(id)
  local write, result = letter_of(id)
  local holds = unlink_letter(id, write)
  if redis.call('HEXISTS', W, id) == 0 then
    redis.call('HDEL', B, id)
  end
  if result and result[RESULT_EXPIRES] > now then
    keep_result(id, result)
  end
  if holds then
    -- The list of this key is not among KEYS. The claim finds out whether it has a write.
    make_ready(write[KEY], NO_ID, now)
  end
end

-- Removes up to twice `most` of what has expired. Returns whether there was something.
local function remove_expired(most)
  local ids = redis.call('ZRANGEBYSCORE', P, '-inf', text(now), 'LIMIT', 0, most)
  local names = redis.call('ZRANGEBYSCORE', N, '-inf', text(now), 'LIMIT', 0, most)
  for _, id in ipairs(ids) do
    remove_result(id)
  end
  for _, name in ipairs(names) do
    local kind, rest = string.sub(name, 1, 1), string.sub(name, 2)
    if kind == 'j' then
      remove_scope(rest)
    elseif kind == 'd' then
      remove_letter(rest)
    else
      redis.call('HDEL', E, rest)
      redis.call('ZREM', N, name)
    end
  end
  return #ids + #names > 0
end

-- The state of a write: w waiting, a applying, d done, x dead, s ID superseded; nil if unknown.
local function state_of(id)
  local write = write_of(id)
  if write then
    local kind, first = phase_of(write[KEY])
    return kind == 'f' and first == id and 'a' or 'w'
  end
  if redis.call('HEXISTS', Y, id) == 1 then
    return 'x'
  end
  local result = unpack_list(redis.call('HGET', X, id))
  if is_result(result) and result[RESULT_EXPIRES] > now then
    return result[RESULT_STATE]
  end
end

