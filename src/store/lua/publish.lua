-- Publishes patterns to other programs, and announces each to this keep's processes, which then
-- ignore it.
--
-- KEYS[1]  the journal's hash: its fields secret and published (how many patterns were)
-- ARGV[1]  the secret to use if there is none
-- ARGV[2]  the public channel
-- ARGV[3]  the private channel of this keep's processes
-- ARGV[4…] patterns; none only to read the secret
--
-- Returns the secret. An announcement is the number of the pattern, and a digest of the secret, the
-- number and the pattern: a program that may use the channels, but not read the journal, can neither
-- make one, which would hide a message, nor use one again.
--
-- As this is one script, no other message comes between an announcement and its pattern.

local known = redis.pcall('HMGET', KEYS[1], 'secret', 'published')
local secret, published = known[1], tonumber(known[2] or '')
if not secret or not published or not (published >= 0 and published < 9007199254740992) then
  -- With a new secret, the numbers may begin again.
  secret, published = ARGV[1], 0
  redis.pcall('HSET', KEYS[1], 'secret', secret, 'published', 0)
end

for i = 4, #ARGV do
  published = published + 1
  local number = string.format('%.0f', published)
  local digest = redis.sha1hex(secret .. number .. ':' .. ARGV[i] .. secret)
  redis.call('PUBLISH', ARGV[3], number .. ' ' .. digest)
  redis.call('PUBLISH', ARGV[2], ARGV[i])
end
if #ARGV >= 4 then
  redis.pcall('HSET', KEYS[1], 'published', string.format('%.0f', published))
end
return secret
