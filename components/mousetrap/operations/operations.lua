-- Keeps operations: their plan, their targets, and how far they are.
--
-- Keys of an operation, in one slot: its hash, the list of targets that are not tried yet, its lease. Fields of the hash:
--   facts, signature    what was asked for (JSON), and its signature
--   state               running, stopped, done, failed
--   after               where the finding of targets goes on; empty once all are found
--   cursor              how many targets were taken off the list
--   begun               the targets before this number may have been tried
--   matched, unseen, done, stale, failed, failures (JSON), runs (JSON), waits, updated_ms, ended_ms

local function end_with(keys, state, now)
  redis.call('HSET', keys[1], 'state', state, 'ended_ms', now, 'updated_ms', now, 'waits', '')
  redis.call('DEL', keys[2], keys[3])
  return state
end

-- Adds targets to the list, which is kept for as long as the hash.
local function push(keys, targets, first)
  for i = first, #targets, 1000 do
    redis.call('RPUSH', keys[2], unpack(targets, i, math.min(i + 999, #targets)))
  end
  redis.call('PEXPIRE', keys[2], redis.call('PTTL', keys[1]))
end

-- Keeps the first hundred runs that were acted on: of one run each has some letters, so that it may come more than once.
local function add_runs(keys, more)
  local all = cjson.decode(redis.call('HGET', keys[1], 'runs') or '[]')
  local known, first = {}, #all
  for _, run in ipairs(all) do known[run] = true end
  for _, run in ipairs(more) do
    if #all < 100 and not known[run] then all[#all + 1], known[run] = run, true end
  end
  if #all > first then redis.call('HSET', keys[1], 'runs', cjson.encode(all)) end
end

-- Arguments: facts, signature, milliseconds to keep, now, after, unseen, targets. Gives 1, or 0 where it was there before.
local function create(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then return 0 end
  local matched = #args - 6
  redis.call('HSET', keys[1], 'facts', args[1], 'signature', args[2], 'state', 'running', 'after', args[5], 'unseen', args[6],
    'matched', matched, 'cursor', 0, 'begun', 0, 'done', 0, 'stale', 0, 'failed', 0, 'failures', '[]', 'waits', '',
    'updated_ms', args[4])
  redis.call('PEXPIRE', keys[1], args[3])
  push(keys, args, 7)
  if matched == 0 and args[5] == '' then end_with(keys, 'done', args[4]) end
  return 1
end

-- The lease, and the next targets. Arguments: the carrier's token, milliseconds of its lease, milliseconds to keep, targets at most.
-- Gives the reply's kind, then: after, cursor, how many of the targets may have been tried, matched, the targets.
local function claim(keys, args)
  local state = redis.call('HGET', keys[1], 'state')
  if not state then return { 'unknown' } end
  if state ~= 'running' then return { 'over' } end
  local holder = redis.call('GET', keys[3])
  if holder and holder ~= args[1] then return { 'held' } end
  redis.call('SET', keys[3], args[1], 'PX', args[2])
  redis.call('PEXPIRE', keys[1], args[3])
  redis.call('PEXPIRE', keys[2], args[3])
  local after, cursor, begun, matched = unpack(redis.call('HMGET', keys[1], 'after', 'cursor', 'begun', 'matched'))
  if after ~= '' or args[4] == '0' then return { 'yours', after, cursor, 0, matched, {} } end
  local targets = redis.call('LRANGE', keys[2], 0, args[4] - 1)
  redis.call('HSET', keys[1], 'begun', math.max(begun, cursor + #targets))
  return { 'yours', after, cursor, math.max(begun - cursor, 0), matched, targets }
end

-- Targets that were found. Arguments: where the finding was, where it goes on (empty at its end), unseen, now, targets. Gives the state.
local function found(keys, args)
  local state, after = unpack(redis.call('HMGET', keys[1], 'state', 'after'))
  if state ~= 'running' or after ~= args[1] then return 'moved' end
  push(keys, args, 5)
  local matched = redis.call('HINCRBY', keys[1], 'matched', #args - 4)
  redis.call('HSET', keys[1], 'after', args[2], 'unseen', args[3], 'updated_ms', args[4])
  if args[2] == '' and matched == 0 then return end_with(keys, 'done', args[4]) end
  return 'running'
end

-- Targets that were tried, counted once: only if no other carrier has gone past them. Arguments: the cursor, how many, done, stale,
-- failed, failures, now, milliseconds of the lease, runs that were acted on, targets to try again later. Gives the state, or `moved`.
local function advance(keys, args)
  local state, cursor, failed = unpack(redis.call('HMGET', keys[1], 'state', 'cursor', 'failed'))
  if not state or cursor ~= args[1] then return 'moved' end
  redis.call('HINCRBY', keys[1], 'cursor', args[2])
  redis.call('HINCRBY', keys[1], 'done', args[3])
  redis.call('HINCRBY', keys[1], 'stale', args[4])
  redis.call('HINCRBY', keys[1], 'failed', args[5])
  if tonumber(failed) < 10 and args[5] ~= '0' then
    local all, more = cjson.decode(redis.call('HGET', keys[1], 'failures')), cjson.decode(args[6])
    for i = 1, math.min(#more, 10 - #all) do all[#all + 1] = more[i] end
    redis.call('HSET', keys[1], 'failures', cjson.encode(all))
  end
  add_runs(keys, cjson.decode(args[9]))
  redis.call('HSET', keys[1], 'updated_ms', args[7], 'waits', '')
  if state ~= 'running' then return state end
  redis.call('LTRIM', keys[2], args[2], -1)
  redis.call('PEXPIRE', keys[3], args[8])
  push(keys, args, 10)
  if redis.call('EXISTS', keys[2]) == 0 then return end_with(keys, 'done', args[7]) end
  return state
end

-- Arguments: the new state, now, a failure (JSON) or nothing. Gives the state after this, or false for an unknown one.
local function finish(keys, args)
  local state = redis.call('HGET', keys[1], 'state')
  if state ~= 'running' then return state end
  if args[3] ~= '' then redis.call('HSET', keys[1], 'failures', args[3]) end
  return end_with(keys, args[1], args[2])
end

-- Why it does not go on just now. Arguments: the text.
local function note(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then redis.call('HSET', keys[1], 'waits', args[1]) end
  return 1
end

redis.register_function('NAME_create', create)
redis.register_function('NAME_claim', claim)
redis.register_function('NAME_found', found)
redis.register_function('NAME_advance', advance)
redis.register_function('NAME_finish', finish)
redis.register_function('NAME_note', note)
