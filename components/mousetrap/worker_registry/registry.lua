-- Keeps workers' heartbeats and the age of queues, by the server's clock.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Keys: a worker. Arguments: its heartbeat, milliseconds to keep it, its manifests' digest. Returns the time in ms. What else a
-- heartbeat writes is under other keys, which a cluster may have elsewhere: plain commands do that.
local function beat(keys, args)
  local now = now_ms()
  redis.call('HSETNX', keys[1], 'started_ms', now)
  redis.call('HSET', keys[1], 'seen_ms', now, 'beat', args[1], 'manifests', args[3])
  redis.call('PEXPIRE', keys[1], args[2])
  return now
end

-- One time is kept for a queue: no message that waits in it now arrived before that. Keys: the queue. Arguments: how many
-- wait, since when at the earliest (0 where that is not known), milliseconds to keep. Returns the longest wait in ms.
local function observe(keys, args)
  local now = now_ms()
  local known = redis.pcall('GET', keys[1])
  -- A damaged value, or one from before the clock was set back, does not count.
  local since = math.min(math.max(type(known) == 'string' and tonumber(known) or 0, tonumber(args[2])), now)
  if args[1] == '0' or since == 0 then since = now end
  redis.call('SET', keys[1], string.format('%d', since), 'PX', args[3])
  return now - since
end

redis.register_function('NAME_beat', beat)
redis.register_function('NAME_observe', observe)
