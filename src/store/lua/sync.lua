-- sync: a page of the journal's state. Begins with journal.lua.
--
-- ARGV[6]  how many subjects a page has
--
-- Answers { epoch, head, floor, { subject, n, … }, the n after which the next page begins or nil,
-- open declarations, seconds, microseconds }: what was named after the caller's n, or from the
-- beginning if the caller's epoch is another. A page never ends within a record.

-- A primary that has lost its replicas, or may not write, proves nothing.
redis.call('HSET', META, 'synced', text(now))

local from = 0
if ARGV[2] == epoch then
  from = tonumber(ARGV[3])
end
local size = tonumber(ARGV[6])
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

return { epoch, head, floor, found, more, open_beside(false), clock[1], clock[2] }
