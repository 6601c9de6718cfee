-- Removes the payloads of a run, unless it is in use.

-- A run for which something was put since stays. The keys: the index of runs, and the payloads of the run.
redis.register_function('NAME', function(keys, args)
  local run, put_before_ms = args[1], tonumber(args[2])
  local put_ms = redis.call('ZSCORE', keys[1], run)
  if put_ms and tonumber(put_ms) >= put_before_ms then return 0 end
  redis.call('UNLINK', keys[2])
  redis.call('ZREM', keys[1], run)
  return 1
end)

-- In a cluster the index is elsewhere, and when something was put last is a field of the payloads. The key: the payloads.
redis.register_function('NAME_payloads', function(keys, args)
  local put_ms = redis.call('HGET', keys[1], '.put_ms')
  if put_ms and tonumber(put_ms) >= tonumber(args[1]) then return 0 end
  return redis.call('UNLINK', keys[1])
end)

-- The name goes last, so that a sweep that ends half-way is repeated. The key: the index.
redis.register_function('NAME_name', function(keys, args)
  local put_ms = redis.call('ZSCORE', keys[1], args[1])
  if put_ms and tonumber(put_ms) >= tonumber(args[2]) then return 0 end
  return redis.call('ZREM', keys[1], args[1])
end)
