-- Keeps workers' heartbeats and the age of queues, by the server's clock.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Keys: the names of all workers, this worker, the digests of all manifests, this worker's manifests. Arguments: its name, its
-- heartbeat, milliseconds to keep both, its manifests' digest, milliseconds to keep them. Returns 0 where they are missing.
local function beat(keys, args)
  local now = now_ms()
  redis.call('HSETNX', keys[2], 'started_ms', now)
  redis.call('HSET', keys[2], 'seen_ms', now, 'beat', args[2], 'manifests', args[4])
  redis.call('PEXPIRE', keys[2], args[3])
  redis.call('ZADD', keys[1], now, args[1])
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now - args[3])
  redis.call('PEXPIRE', keys[1], args[3])
  if args[4] == '' then return 1 end
  redis.call('ZADD', keys[3], now, args[4])
  redis.call('ZREMRANGEBYSCORE', keys[3], '-inf', now - args[5])
  redis.call('PEXPIRE', keys[3], args[5])
  return redis.call('PEXPIRE', keys[4], args[5])
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
