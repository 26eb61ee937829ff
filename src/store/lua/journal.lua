-- The common beginning of append.lua and sync.lua: reads the journal's state, begins a new epoch if
-- the state cannot be trusted, and closes declarations whose lease has expired.
--
-- KEYS[1]  hash: epoch, server (its replication id), head, floor, due (when the first lease expires),
--          and o:TOKEN for each open declaration: its deadline and its purges, packed
-- KEYS[2]  sorted set: purges, each scored by the n of its latest record, and '!' scored by the head
-- KEYS[3]  stream: the latest records; the id of a record is n-0
-- ARGV[1]  the epoch to begin if needed: random, never used before
-- ARGV[2]  the caller's epoch, 0 for none
-- ARGV[3]  the caller's n
-- ARGV[4]  how many purges KEYS[2] keeps
-- ARGV[5]  about how many records KEYS[3] keeps

local META, LATEST, FEED = KEYS[1], KEYS[2], KEYS[3]
local HEAD = '!'
local MAX_PURGES = 600 -- in one record; unpack() fails for many thousands

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local epoch, head, floor

-- Formats a number without an exponent.
local function text(n)
  return string.format('%.0f', n)
end

local function type_of(key)
  return redis.call('TYPE', key).ok
end

-- Begins a new epoch. Open declarations stay open.
local function begin_epoch()
  epoch, head, floor = ARGV[1], 0, 0
  redis.call('UNLINK', LATEST, FEED)
  if type_of(META) ~= 'hash' then
    redis.call('UNLINK', META)
  end
  redis.call('HSET', META, 'epoch', epoch, 'server', server, 'head', 0, 'floor', 0)
  redis.call('ZADD', LATEST, 0, HEAD)
end

local function is_count(n)
  return n and n >= 0 and n < 9007199254740992 and n == math.floor(n)
end

-- Reads the state. Returns false if any key was evicted, restored from a backup, or overwritten: then
-- records may be lost.
local function read_state()
  local state = redis.pcall('HMGET', META, 'epoch', 'server', 'head', 'floor')
  if state.err or not state[1] or not string.match(state[1], '^[1-9]%d*$') or #state[1] > 19 then
    return false
  end
  epoch, head, floor = state[1], tonumber(state[3] or ''), tonumber(state[4] or '')
  if state[2] ~= server or not is_count(head) or not is_count(floor) then
    return false
  end
  local score = redis.pcall('ZSCORE', LATEST, HEAD)
  if type(score) ~= 'string' or tonumber(score) ~= head then
    return false
  end
  -- The stream exists from the first record on.
  if type_of(FEED) ~= (head > 0 and 'stream' or 'none') then
    return false
  end
  -- If the caller knows later records, they were lost.
  return ARGV[2] ~= epoch or tonumber(ARGV[3]) <= head
end

-- Removes the oldest purges and raises the floor: entries stored before it are unusable.
local function prune()
  local over = redis.call('ZCARD', LATEST) - 1 - tonumber(ARGV[4])
  if over <= 0 then
    return
  end
  local last = math.min(over, 1024) - 1
  local upto = tonumber(redis.call('ZRANGE', LATEST, last, last, 'WITHSCORES')[2])
  upto = math.min(upto, head - 1)
  if upto > floor then
    floor = upto
    redis.call('ZREMRANGEBYSCORE', LATEST, '-inf', text(upto))
    redis.call('HSET', META, 'floor', text(floor))
  end
end

-- Appends one record, whose n becomes the head.
local function record(action, token, purges)
  local n = head + 1
  local fields = { 'e', epoch, 'a', action, 't', token }
  local scores = { text(n), HEAD }
  for _, purge in ipairs(purges) do
    fields[#fields + 1] = 's'
    fields[#fields + 1] = purge
    if action ~= 'o' then
      scores[#scores + 1] = text(n)
      scores[#scores + 1] = purge
    end
  end
  local added = redis.pcall('XADD', FEED, 'MAXLEN', '~', ARGV[5], text(n) .. '-0', unpack(fields))
  if type(added) == 'table' and added.err then
    if head > 0 and (string.find(added.err, 'smaller') or string.find(added.err, 'exhausted')) then
      -- Another program has written to the stream.
      begin_epoch()
      return record(action, token, purges)
    end
    return error(added.err)
  end
  head = n
  redis.call('ZADD', LATEST, unpack(scores))
  redis.call('HSET', META, 'head', text(head))
  prune()
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
  return values[1], purges
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
  local due = tonumber(redis.call('HGET', META, 'due') or '')
  if not due or due > now then
    return
  end
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

if not read_state() then
  begin_epoch()
end
close_expired()

