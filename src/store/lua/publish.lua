-- Publishes patterns to other programs, and announces each to this keep's processes, which then
-- ignore it.
--
-- ARGV[1]  the public channel
-- ARGV[2]  the private channel of this keep's processes
-- ARGV[3…] patterns
--
-- As this is one script, no other message comes between an announcement and its pattern.

for i = 3, #ARGV do
  redis.call('PUBLISH', ARGV[2], ARGV[i])
  redis.call('PUBLISH', ARGV[1], ARGV[i])
end
