-- Appends lines to a run's log, and drops the oldest.
--
-- Keys, in the slot of the run: the list of its lines, and a hash with their bytes, how many were dropped and missed, and
-- the number of each writer's last batch, by which one that is sent twice is known.

local function append(keys, args)
  local lines, facts = keys[1], keys[2]
  local writer, batch = args[1], tonumber(args[2])
  local most, most_bytes, ttl = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local missed, dropped = tonumber(args[6]), tonumber(args[7])
  if tonumber(redis.call('HGET', facts, 'w:' .. writer) or '0') >= batch then
    return 'known'
  end
  local count = redis.call('LLEN', lines)
  local bytes = count > 0 and tonumber(redis.call('HGET', facts, 'bytes') or '0') or 0
  for place = 8, #args do
    count = redis.call('RPUSH', lines, args[place])
    bytes = bytes + #args[place]
  end
  while count > 1 and (count > most or bytes > most_bytes) do
    bytes = bytes - #redis.call('LPOP', lines)
    count = count - 1
    dropped = dropped + 1
  end
  redis.call('HSET', facts, 'bytes', bytes, 'w:' .. writer, batch)
  redis.call('HINCRBY', facts, 'dropped', dropped)
  redis.call('HINCRBY', facts, 'missed', missed)
  redis.call('PEXPIRE', lines, ttl)
  redis.call('PEXPIRE', facts, ttl)
  return 'kept'
end

redis.register_function('NAME_append', append)
