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
