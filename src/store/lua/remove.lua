-- Removes a string of one kind: a key that matches a pattern may belong to another program.
--
-- KEYS[1]  a key that matches the pattern
-- ARGV[1]  the magic that entries begin with
-- ARGV[2]  'entry' to remove entries only, 'plain' to remove all other strings
--
-- Returns how many keys were removed.

local head = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
if type(head) == 'string' and (head == ARGV[1]) == (ARGV[2] == 'entry') then
  return redis.call('UNLINK', KEYS[1])
end
return 0
