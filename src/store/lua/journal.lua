-- The common beginning of append.lua and sync.lua: reads the journal's state, begins a new epoch if
-- the state cannot be trusted, and closes declarations whose lease has expired.
--
-- KEYS[1]  hash: the fields of STATE; epoch; server (its replication id); cause (why the epoch began);
--          due (when the first lease expires); and o:TOKEN for each open declaration: its deadline and
--          its purges, packed
-- KEYS[2]  sorted set: purges, each scored by the n of its latest record, and '!' scored by the head
-- KEYS[3]  stream: the latest records; the id of a record is n-0
-- ARGV[1]  the epoch to begin if needed: random, never used before
-- ARGV[2]  the caller's epoch, 0 for none
-- ARGV[3]  the caller's n
-- ARGV[4]  how many bytes KEYS[2] may take
-- ARGV[5]  how many bytes KEYS[3] may take
-- ARGV[6]  the milliseconds after which nothing that was stored before can be in use

local META, LATEST, FEED = KEYS[1], KEYS[2], KEYS[3]
local HEAD = '!'
local MAX_PURGES = 600 -- in one record; unpack() fails for many thousands
local MAX_PRUNED = 1024 -- at once
local MAX_HALF = 5000 -- records in each half of the stream
-- The longest lease that a process asks for, a day, and a minute by which the clock may be set back.
local MAX_LEASE = (24 * 3600 + 60) * 1000

-- What the data structures take beside the text: measured on Redis 7, rounded up.
local PURGE_OVERHEAD, RECORD_OVERHEAD, FIELD_OVERHEAD = 112, 48, 8

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local epoch

-- Whole numbers that KEYS[1] keeps:
-- head, floor  as in the protocol
-- size         the bytes that KEYS[2] takes
-- aged         what was stored before this n has expired
-- mark, marked an n, and when it was the head
-- half, half_n the bytes of the later half of the stream, and its first n
-- first        the first n of the stream
local STATE = { 'head', 'floor', 'size', 'aged', 'mark', 'marked', 'half', 'half_n', 'first' }
local state = {}

-- Formats a number without an exponent.
local function text(n)
  return string.format('%.0f', n)
end

local function type_of(key)
  return redis.call('TYPE', key).ok
end

local function save()
  local fields = { 'epoch', epoch }
  for _, name in ipairs(STATE) do
    fields[#fields + 1] = name
    fields[#fields + 1] = text(state[name])
  end
  redis.call('HSET', META, unpack(fields))
end

-- Begins a new epoch. Open declarations stay open.
local function begin_epoch(cause)
  epoch = ARGV[1]
  state = { head = 0, floor = 0, size = 0, aged = 0, mark = 0, marked = now,
    half = 0, half_n = 1, first = 1 }
  redis.call('UNLINK', LATEST, FEED)
  if type_of(META) ~= 'hash' then
    redis.call('UNLINK', META)
  end
  redis.call('HSET', META, 'server', server, 'cause', cause)
  save()
  redis.call('ZADD', LATEST, 0, HEAD)
end

local function is_count(n)
  return n and n >= 0 and n < 9007199254740992 and n == math.floor(n)
end

-- Reads STATE. Returns whether its numbers are possible together.
local function read_numbers()
  local values = redis.call('HMGET', META, unpack(STATE))
  for i, name in ipairs(STATE) do
    state[name] = tonumber(values[i] or '')
    if not is_count(state[name]) then
      return false
    end
  end
  local head = state.head
  return state.floor <= head and state.aged <= head and state.mark <= head
    and state.half_n <= head + 1 and state.first <= state.half_n
end

-- Whether the purges and the records end with the head.
local function ends_with_head()
  local score = redis.pcall('ZSCORE', LATEST, HEAD)
  if type(score) ~= 'string' or tonumber(score) ~= state.head then
    return false
  end
  local last = redis.call('ZRANGE', LATEST, -1, -1, 'WITHSCORES')
  if tonumber(last[2]) ~= state.head then
    return false
  end
  -- The stream exists from the first record on.
  if state.head == 0 then
    return type_of(FEED) == 'none'
  end
  return type_of(FEED) == 'stream'
    and #redis.call('XRANGE', FEED, text(state.head) .. '-1', '+', 'COUNT', 1) == 0
end

-- Reads the state. Returns why it cannot be trusted: a key was evicted, restored from a backup or
-- overwritten, or records may be lost.
local function read_state()
  if type_of(META) == 'none' then
    return 'missing'
  end
  local known = redis.pcall('HMGET', META, 'epoch', 'server')
  if known.err or not known[1] or not string.match(known[1], '^[1-9]%d*$') or #known[1] > 19 then
    return 'damaged'
  end
  epoch = known[1]
  if known[2] ~= server then
    return 'server'
  end
  if not read_numbers() or not ends_with_head() then
    return 'damaged'
  end
  if state.size < PURGE_OVERHEAD * (redis.call('ZCARD', LATEST) - 1) then
    return 'damaged'
  end
  if ARGV[2] == epoch and tonumber(ARGV[3]) > state.head then
    return 'lost'
  end
end

local function size_of(purge)
  return #purge + PURGE_OVERHEAD
end

-- Sets state.size to what the purges from index `from` of `found` on take.
local function measure(found, from)
  state.size = 0
  for i = from, #found, 2 do
    if found[i] ~= HEAD then
      state.size = state.size + size_of(found[i])
    end
  end
end

-- Removes the oldest purges if they take too much memory, and those that can no longer matter, and
-- raises the floor: entries stored before it are unusable.
local function prune()
  local most = tonumber(ARGV[4])
  if state.size <= most and state.aged <= state.floor then
    return
  end
  -- Below the limit, so that not every record prunes.
  local enough = state.size > most and most - math.floor(most / 16) or most
  local oldest = redis.call('ZRANGE', LATEST, 0, MAX_PRUNED - 1, 'WITHSCORES')
  local removed, upto, i = {}, state.floor, 1
  while i < #oldest do
    local n = math.ceil(tonumber(oldest[i + 1]))
    -- Never a part of a record, nor the latest one.
    if n >= state.head or (n > upto and n > state.aged and state.size <= enough) then
      break
    end
    upto = math.max(upto, n)
    state.size = state.size - size_of(oldest[i])
    removed[#removed + 1] = oldest[i]
    i = i + 2
  end
  if #removed > 0 then
    redis.call('ZREM', LATEST, unpack(removed))
  end
  state.floor = upto
  if #removed < MAX_PRUNED then
    state.aged = math.min(state.aged, state.floor)
  end
  if #oldest < 2 * MAX_PRUNED then
    measure(oldest, i)
  end
end

-- Notes the position, so that purges can be pruned by age.
local function note_age()
  if state.marked > now then
    state.marked = now
  end
  if now - state.marked >= tonumber(ARGV[6]) then
    state.aged, state.mark, state.marked = state.mark, state.head, now
  end
end

-- Adds the size of a record to the later half of the stream. Once that is full, it becomes the
-- earlier half, and the next record drops what came before it.
local function note_record(bytes)
  state.half = state.half + bytes
  if 2 * state.half >= tonumber(ARGV[5]) or state.head - state.half_n + 1 >= MAX_HALF then
    state.first, state.half_n, state.half = state.half_n, state.head + 1, 0
  end
end

-- Appends one record, whose n becomes the head.
local function record(action, token, purges)
  local n = state.head + 1
  local fields = { 'e', epoch, 'a', action, 't', token }
  local bytes = RECORD_OVERHEAD
  for _, purge in ipairs(purges) do
    fields[#fields + 1] = 's'
    fields[#fields + 1] = purge
    bytes = bytes + #purge + FIELD_OVERHEAD
  end
  local added = redis.pcall('XADD', FEED, 'MINID', '=', text(state.first) .. '-0',
    text(n) .. '-0', unpack(fields))
  if type(added) == 'table' and added.err then
    if state.head > 0
        and (string.find(added.err, 'smaller') or string.find(added.err, 'exhausted')) then
      -- Another program has written to the stream.
      begin_epoch('damaged')
      return record(action, token, purges)
    end
    return error(added.err)
  end
  state.head = n
  redis.call('ZADD', LATEST, text(n), HEAD)
  if action ~= 'o' then
    for _, purge in ipairs(purges) do
      if redis.call('ZADD', LATEST, text(n), purge) == 1 then
        state.size = state.size + size_of(purge)
      end
    end
  end
  note_record(bytes)
  note_age()
  prune()
  save()
end

-- Unpacks a declaration: its deadline and its purges; '*', everything, if that is not possible.
local function unpack_declaration(packed)
  local readable, values = pcall(cmsgpack.unpack, packed)
  if not readable or type(values) ~= 'table' or type(values[1]) ~= 'number'
      or #values > MAX_PURGES then
    return 0, { '*' }
  end
  local purges = {}
  for i = 2, #values do
    purges[i - 1] = type(values[i]) == 'string' and values[i] or '*'
  end
  -- No process has asked for a later deadline, nor for one that is not a number.
  local deadline = values[1] <= now + MAX_LEASE and values[1] or 0
  return deadline, purges
end

-- Calls visit(token, deadline, purges) for every open declaration.
local function each_open(visit)
  local fields = redis.call('HGETALL', META)
  for i = 1, #fields, 2 do
    local token = string.match(fields[i], '^o:(.*)$')
    if token then
      visit(token, unpack_declaration(fields[i + 1]))
    end
  end
end

-- The open declarations but the caller's own, each as a list of its token and its purges.
local function open_beside(own)
  local open = {}
  each_open(function(token, _, purges)
    if token ~= own then
      table.insert(purges, 1, token)
      open[#open + 1] = purges
    end
  end)
  return open
end

-- Closes declarations whose lease has expired, as invalidations.
local function close_expired()
  local next_due
  local expired = {}
  each_open(function(token, deadline, purges)
    if deadline <= now then
      expired[#expired + 1] = { token, purges }
    else
      next_due = math.min(next_due or deadline, deadline)
    end
  end)
  for _, declaration in ipairs(expired) do
    record('c', declaration[1], declaration[2])
    redis.call('HDEL', META, 'o:' .. declaration[1])
  end
  if next_due then
    redis.call('HSET', META, 'due', text(next_due))
  else
    redis.call('HDEL', META, 'due')
  end
end

-- Whether a lease has expired, or may have because the time is unreadable.
local function is_due()
  local due = redis.call('HGET', META, 'due')
  return due and not ((tonumber(due) or 0) > now)
end

local cause = read_state()
if cause then
  begin_epoch(cause)
end
if is_due() then
  close_expired()
end

