-- append: appends one record to the journal. Begins with journal.lua.
--
-- ARGV[6]   what it does: i invalidates, o opens a declaration, c closes one
-- ARGV[7]   the declaration's token, 0 for none
-- ARGV[8]   the declaration's lease in milliseconds
-- ARGV[9]   how many records may come along with the answer
-- ARGV[10]  1 if open declarations are to come along
-- ARGV[11…] what it names
--
-- Answers { epoch, n, floor, records between the caller's n and this one, open declarations }; the
-- records are all of them or none.

local action, token = ARGV[6], ARGV[7]
local named = {}
for i = 11, #ARGV do
  named[#named + 1] = ARGV[i]
end

if action == 'o' then
  local deadline = now + tonumber(ARGV[8])
  record('o', token, named)
  redis.call('HSET', META, 'o:' .. token, cmsgpack.pack({ deadline, unpack(named) }))
  local due = tonumber(redis.call('HGET', META, 'due') or '')
  redis.call('HSET', META, 'due', text(math.min(due or deadline, deadline)))
elseif action == 'c' then
  local packed = redis.call('HGET', META, 'o:' .. token)
  if packed then
    local _, declared = unpacked(packed)
    for _, subject in ipairs(declared) do
      named[#named + 1] = subject
    end
  end
  if #named > MOST then
    named = { '*' }
  end
  record('c', token, named)
  redis.call('HDEL', META, 'o:' .. token)
else
  record('i', token, named)
end

local between = {}
if ARGV[2] == epoch then
  local first = tonumber(ARGV[3]) + 1
  local count = head - first
  if count > 0 and count <= tonumber(ARGV[9]) then
    between = redis.call('XRANGE', FEED, text(first) .. '-0', text(head - 1) .. '-0')
    if #between ~= count then
      between = {}
    end
  end
end

local open = {}
if ARGV[10] == '1' then
  open = open_beside(token)
end

return { epoch, head, floor, between, open }
