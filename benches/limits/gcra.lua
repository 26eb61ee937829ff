-- GCRA as other crates have it: one rule, one time, whole microseconds.
--
-- KEYS[1]  the theoretical arrival time
-- ARGV     emission interval and burst in microseconds, cost
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local emission, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = tonumber(redis.call('GET', KEYS[1]) or now)
if tat < now then tat = now end
local new = tat + emission * cost
local over = new - now - burst
if over > 0 then return {0, over, tat - now} end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000))
return {1, math.floor((burst - (new - now)) / emission), new - now}
