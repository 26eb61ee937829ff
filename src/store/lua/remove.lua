-- Removes a string if it is of the wanted kind: what matches a pattern may be another program's.
--
-- KEYS[1]  a key that matched
-- ARGV[1]  the magic with which entries begin
-- ARGV[2]  'entry' to remove entries only, 'plain' to remove everything else
--
-- Answers how many were removed.

local head = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
if type(head) == 'string' and (head == ARGV[1]) == (ARGV[2] == 'entry') then
  return redis.call('UNLINK', KEYS[1])
end
return 0
