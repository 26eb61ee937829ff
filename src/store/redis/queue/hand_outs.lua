-- Runs after common.lua, in the scripts that hand out writes.
--
-- The time from which writes may be handed out. A server that lost writes, or took over from one that
-- had newer ones, may have lost hand-outs: it hands out nothing for as long as they can last.
local function hand_outs_from(lease)
  local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
  local known = redis.call('HMGET', M, 'server', 'since', 'lease')
  local since, longest = count(known[2]), math.min(count(known[3]), MAX_WAIT)
  if known[1] ~= server or since > now then
    since = now
    redis.call('HSET', M, 'partitions', ARGV[1], 'server', server, 'since', text(now))
  end
  if lease > longest then
    longest = lease
    redis.call('HSET', M, 'lease', text(lease))
  end
  return since + longest
end

