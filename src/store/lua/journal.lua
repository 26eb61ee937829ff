-- The beginning of append.lua and sync.lua: reads the journal's state, begins a new epoch where it
-- cannot be trusted, and closes declarations whose lease is over.
--
-- KEYS[1]  hash: epoch, server (its replication id), head, floor, due (of the first lease),
--          and o:TOKEN, an open declaration: its deadline and what it names
-- KEYS[2]  sorted set: what was named with the n of its latest record, and '!' with the head
-- KEYS[3]  stream: the latest records; the id n-0 is the position
-- ARGV[1]  the epoch to begin if one has to be: random, never used before
-- ARGV[2]  the caller's epoch, 0 for none
-- ARGV[3]  the caller's n
-- ARGV[4]  how many subjects are kept
-- ARGV[5]  how many records are kept, about

local META, LATEST, FEED = KEYS[1], KEYS[2], KEYS[3]
local HEAD = '!'
local MOST = 600 -- subjects of one record; Lua cannot unpack many thousands

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local epoch, head, floor

local function text(n)
  return string.format('%.0f', n)
end

local function type_of(key)
  return redis.call('TYPE', key).ok
end

-- Open declarations outlive the epoch.
local function begin()
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

-- Lost or damaged in part is lost (FENCE: one of the three keys was evicted, restored, overwritten).
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
  -- Before the first record there is no stream.
  if type_of(FEED) ~= (head > 0 and 'stream' or 'none') then
    return false
  end
  -- The caller has applied more than there is: records were lost.
  return ARGV[2] ~= epoch or tonumber(ARGV[3]) <= head
end

-- Keeps the latest of what was named; what is stored from before the floor is unusable.
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

-- Appends one record; its n is the head after it.
local function record(action, token, named)
  local n = head + 1
  local fields = { 'e', epoch, 'a', action, 't', token }
  local scores = { text(n), HEAD }
  for _, subject in ipairs(named) do
    fields[#fields + 1] = 's'
    fields[#fields + 1] = subject
    if action ~= 'o' then
      scores[#scores + 1] = text(n)
      scores[#scores + 1] = subject
    end
  end
  local added = redis.pcall('XADD', FEED, 'MAXLEN', '~', ARGV[5], text(n) .. '-0', unpack(fields))
  if type(added) == 'table' and added.err then
    if head > 0 and (string.find(added.err, 'smaller') or string.find(added.err, 'exhausted')) then
      -- Somebody else wrote into the stream.
      begin()
      return record(action, token, named)
    end
    return error(added.err)
  end
  head = n
  redis.call('ZADD', LATEST, unpack(scores))
  redis.call('HSET', META, 'head', text(head))
  prune()
end

-- What a declaration holds: its deadline and what it names, everything if that cannot be read.
local function unpacked(packed)
  local readable, held = pcall(cmsgpack.unpack, packed)
  if not readable or type(held) ~= 'table' or type(held[1]) ~= 'number' or #held > MOST then
    return 0, { '*' }
  end
  local named = {}
  for i = 2, #held do
    named[i - 1] = type(held[i]) == 'string' and held[i] or '*'
  end
  return held[1], named
end

-- Every open declaration: its token, and what unpacked() says.
local function each_open(visit)
  local fields = redis.call('HGETALL', META)
  for i = 1, #fields, 2 do
    local token = string.match(fields[i], '^o:(.*)$')
    if token then
      visit(token, unpacked(fields[i + 1]))
    end
  end
end

-- As a reply: a list of lists, the token first. Without the caller's own.
local function open_beside(own)
  local open = {}
  each_open(function(token, _, named)
    if token ~= own then
      table.insert(named, 1, token)
      open[#open + 1] = named
    end
  end)
  return open
end

local function close_expired()
  local due = tonumber(redis.call('HGET', META, 'due') or '')
  if not due or due > now then
    return
  end
  local next_due
  local expired = {}
  each_open(function(token, deadline, named)
    if deadline <= now then
      expired[#expired + 1] = { token, named }
    else
      next_due = math.min(next_due or deadline, deadline)
    end
  end)
  for _, declared in ipairs(expired) do
    record('c', declared[1], declared[2])
    redis.call('HDEL', META, 'o:' .. declared[1])
  end
  if next_due then
    redis.call('HSET', META, 'due', text(next_due))
  else
    redis.call('HDEL', META, 'due')
  end
end

if not read_state() then
  begin()
end
close_expired()

