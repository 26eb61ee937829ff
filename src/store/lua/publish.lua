-- Tells other programs what was invalidated, and our own processes that it was us.
--
-- ARGV[1]  the channel for everybody
-- ARGV[2]  our own channel
-- ARGV[3…] patterns
--
-- One script: nobody's message comes between an announcement and what it announces.

for i = 3, #ARGV do
  redis.call('PUBLISH', ARGV[2], ARGV[i])
  redis.call('PUBLISH', ARGV[1], ARGV[i])
end
