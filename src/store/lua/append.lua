-- Appends one record to the journal. Runs after journal.lua, which explains KEYS and ARGV[1] to [6].
--
-- ARGV[7]   the action: i invalidates, o opens a declaration, c closes one
-- ARGV[8]   the declaration's token, 0 for none
-- ARGV[9]   the declaration's lease in milliseconds
-- ARGV[10]  the most records to return
-- ARGV[11]  1 to return the open declarations
-- ARGV[12…] purges
--
-- Returns { epoch, n, floor, records between the caller's n and this one, open declarations }. The
-- records are complete, or none if there are too many.

local action, token = ARGV[7], ARGV[8]
local purges = {}
for i = 12, #ARGV do
  purges[#purges + 1] = ARGV[i]
end

if action == 'o' then
  local deadline = now + tonumber(ARGV[9])
  record('o', token, purges)
  redis.call('HSET', META, 'o:' .. token, cmsgpack.pack({ deadline, unpack(purges) }))
  local due = tonumber(redis.call('HGET', META, 'due') or '')
  redis.call('HSET', META, 'due', text(math.min(due or deadline, deadline)))
elseif action == 'c' then
  local packed = redis.call('HGET', META, 'o:' .. token)
  if packed then
    local _, declared = unpack_declaration(packed)
    for _, purge in ipairs(declared) do
      purges[#purges + 1] = purge
    end
  end
  if #purges > MAX_PURGES then
    purges = { '*' }
  end
  record('c', token, purges)
  redis.call('HDEL', META, 'o:' .. token)
else
  record('i', token, purges)
end

local between = {}
if ARGV[2] == epoch then
  local first = tonumber(ARGV[3]) + 1
  local count = state.head - first
  if count > 0 and count <= tonumber(ARGV[10]) then
    between = redis.call('XRANGE', FEED, text(first) .. '-0', text(state.head - 1) .. '-0')
    if #between ~= count then
      between = {}
    end
  end
end

local open = {}
if ARGV[11] == '1' then
  open = open_beside(token)
end

return { epoch, state.head, state.floor, between, open }
