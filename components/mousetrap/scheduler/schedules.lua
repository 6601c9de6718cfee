-- Keeps the records of schedules, and when to look at each.
--
-- Keys, in one slot:
--   mousetrap:{schedules}       hash    by name, a record: its revision, its signature, its facts (JSON), with a space between
--   mousetrap:{schedules}:due   zset    names by when to look at them next, in milliseconds of this server's clock
--   mousetrap:{schedules}:waits  zset  names of those that do not go on, by since when
-- They have no time-to-live: a schedule stays until it is removed.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Writes or removes a record that no one else has written since it was read, and when to look at it next.
-- Arguments: the name, the revision that was read (0 for none), the record (empty to remove it), when to look (empty for never), and
-- 1 where it does not go on.
-- Gives 1, or 0 where another revision is there.
local function swap(keys, args)
  local held = redis.call('HGET', keys[1], args[1])
  local revision = held and string.match(held, '^%d+') or '0'
  if revision ~= args[2] then return 0 end
  if args[3] == '' then
    redis.call('HDEL', keys[1], args[1])
  else
    redis.call('HSET', keys[1], args[1], args[3])
  end
  if args[4] == '' then
    redis.call('ZREM', keys[2], args[1])
  else
    redis.call('ZADD', keys[2], args[4], args[1])
  end
  if args[5] ~= '1' then
    redis.call('ZREM', keys[3], args[1])
  elseif not redis.call('ZSCORE', keys[3], args[1]) then
    redis.call('ZADD', keys[3], now_ms(), args[1])
  end
  return 1
end

-- Records that are to be looked at by now. Arguments: how many at most. Gives the time, then names and records in turn.
local function due(keys, args)
  local now = now_ms()
  local names = redis.call('ZRANGE', keys[2], 0, now, 'BYSCORE', 'LIMIT', 0, args[1])
  local reply = { now }
  for _, name in ipairs(names) do
    reply[#reply + 1] = name
    reply[#reply + 1] = redis.call('HGET', keys[1], name) or ''
  end
  return reply
end

-- Arguments: the name. Gives the time, and the record; empty for none.
local function read(keys, args)
  return { now_ms(), redis.call('HGET', keys[1], args[1]) or '' }
end

-- Puts off a look at what cannot be read. Arguments: the name, milliseconds. Gives 1.
local function put_off(keys, args)
  if redis.call('HGET', keys[1], args[1]) then
    redis.call('ZADD', keys[2], now_ms() + args[2], args[1])
  else
    redis.call('ZREM', keys[2], args[1])
  end
  return 1
end

-- Arguments: from how many milliseconds on a tick is late. Gives how many schedules there are, and how many of them are late.
local function count(keys, args)
  local since = now_ms() - args[1]
  local late = redis.call('ZCOUNT', keys[2], '-inf', since) + redis.call('ZCOUNT', keys[3], '-inf', since)
  return { redis.call('HLEN', keys[1]), late }
end

redis.register_function('NAME_count', count)
redis.register_function('NAME_swap', swap)
redis.register_function('NAME_due', due)
redis.register_function('NAME_read', read)
redis.register_function('NAME_put_off', put_off)
