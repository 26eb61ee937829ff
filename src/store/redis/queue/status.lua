-- Tells what is known about a write. Runs after common.lua; changes nothing.
--
-- ARGV[3]  its id
--
-- Returns nil, or { state as in common.lua, key, user or nil, accepted, attempts, the time of the next
-- attempt or -1, when it ended or -1, reason or nil, answer or nil, request or nil }.
local id = ARGV[3]
local write = write_of(id)
if write then
  local kind, first = phase_of(write[KEY])
  -- Only the first write of a key was tried.
  local next_attempt = kind == 'r' and write[ATTEMPTS] > 0
    and tonumber(redis.call('ZSCORE', R, write[KEY]) or '')
  return { kind == 'f' and first == id and 'a' or 'w', write[KEY], write[USER], write[ACCEPTED],
    write[ATTEMPTS], next_attempt and next_attempt < math.huge and next_attempt or -1, -1,
    write[REASON], false, redis.call('HGET', B, id) }
end
local _, result = letter_of(id)
local request = result and redis.call('HGET', B, id) or false
if not result then
  result = unpack_list(redis.call('HGET', X, id))
  if not is_result(result) or result[RESULT_EXPIRES] <= now then
    return false
  end
end
return { result[1], result[2], result[3], result[4], result[5], -1, result[6], result[8], result[9],
  request }
