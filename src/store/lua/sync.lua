-- Returns one page of the journal's state. Runs after journal.lua, which explains KEYS and ARGV[1] to
-- [6].
--
-- ARGV[7]  the size of a page
--
-- Returns { epoch, head, floor, { purge, n, … }, the n after which the next page begins or nil, open
-- declarations, seconds, microseconds, why the epoch began }: the purges after the caller's n, or all if the caller's epoch
-- is another. A page never ends within a record.

-- Fails on a primary that refuses writes or has lost its replicas: its state may be outdated.
redis.call('HSET', META, 'synced', text(now))
-- Not only when due: another program may have removed that field.
close_expired()

local from = 0
if ARGV[2] == epoch then
  from = tonumber(ARGV[3])
end
local size = tonumber(ARGV[7])
local found = redis.call('ZRANGEBYSCORE', LATEST, '(' .. text(from), '+inf', 'WITHSCORES',
  'LIMIT', 0, size)

local more = false
if #found >= 2 * size then
  local last = found[#found]
  local kept = #found
  while kept > 0 and found[kept] == last do
    kept = kept - 2
  end
  if kept > 0 then
    more = found[kept]
    for i = #found, kept + 1, -1 do
      found[i] = nil
    end
  else
    more = last
    found = redis.call('ZRANGEBYSCORE', LATEST, last, last, 'WITHSCORES')
  end
end

-- Another program has added purges: the pages would not end.
if more and tonumber(more) ~= math.floor(tonumber(more)) then
  begin_epoch('damaged')
  found, more = {}, false
end

return { epoch, state.head, state.floor, found, more, open_beside(false), clock[1], clock[2],
  redis.call('HGET', META, 'cause') }
