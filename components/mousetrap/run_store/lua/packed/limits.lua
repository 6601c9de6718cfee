-- Limits how many jobs run at once, and keeps who waits.
--
-- A limit's key K begins with its stage S, `PIPELINE.STAGE`, then `:n` (so many at once) or `:r` (a rate), and a hash of the value that
-- selects it, if one does:
--   mousetrap:limit:K          hash  its numbers as the last claim had them, what selects it, counters; of a rate `tat`: when the next
--                                    job would begin if they came evenly
--   mousetrap:limit:K:held     zset  who runs, or may begin, by until when; of a rate only who may begin
--   mousetrap:limit:K:turns    zset  its lines that somebody is in, by when each was served last
--   mousetrap:limit:K:line:L   zset  who waits, in order; L is `-`, or a hash of the value that the limit is fair by
-- and of the stage:
--   mousetrap:limits:S:due     zset  its keys that somebody waits for, by when there may be room
--   mousetrap:limits:S:busy    zset  its keys that somebody holds, by until when
--   mousetrap:limits:S:jobs    hash  of each in a line, or taken from one and not settled: its line, place, attempt and limits
--   mousetrap:limits:S:bodies  hash  its message
--   mousetrap:limits:S:taken   zset  who was taken from a line, by until when its worker has it; after that it is back in its place
-- A member is `JOB RUN`. All of it is beside what the queue keeps: a message of each who waits comes again in the end.

-- So many may be in a line; others come again by their message alone.
local MOST_IN_LINE = 100000
-- A line in which none has a message yet is looked at again after this.
local SOON = 1000
-- What one look goes through at most: keys, lapsed members, lines of a key, members of a line that are not to be begun.
local MOST_KEYS, MOST_LAPSED, MOST_LINES, MOST_AHEAD = 64, 100, 32, 16
-- Of runs above this priority jobs stand before all others of their line, whose places are so much further back.
local DEFAULT_PRIORITY, FURTHER_BACK = 4, 2 ^ 40
-- Until a job that had room and did not get its lock is looked at again: a quarter of what it has waited, between these two.
local LOCK_MIN, LOCK_MAX = 200, 10000
-- States of a job that needs no room: what follows from them is to be acted on.
local NEEDS_NO_ROOM = { done = true, dead = true, retrying = true }

local limits = {}

local function limit_key(key, what) return 'mousetrap:limit:' .. key .. (what or '') end
local function limits_key(stage, what) return 'mousetrap:limits:' .. stage .. ':' .. what end
local function stage_of(key) return string.match(key, '^[^:]+') end

local function keep_key(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, extended(ttl)) end
end

-- Until when a job of whose record nothing is damaged is at work; 0 for one that is not. And its state.
local function at_work(member)
  local job, run = string.match(member, '^(%S+) (.+)$')
  local readable, held = pcall(load_job, run, job)
  if not readable or not held then return 0 end
  return held.state == 'running' and (held.facts.until_ms or 0) > now and held.facts.until_ms or 0, held.state
end

local function is_stopped(member)
  local readable, state = pcall(run_state, string.match(member, ' (.+)$'))
  return readable and STOPPED[state or ''] or false
end

-- The limits' keys and lines in turn.
local function keys_of(wanted)
  local all = {}
  for _, at in ipairs(wanted) do
    all[#all + 1] = at[1]
    all[#all + 1] = at[5]
  end
  return table.concat(all, ' ')
end

function limits.load(key)
  local most, interval, at_once, tat = read(limit_key(key), 'most', 'interval', 'at_once', 'tat')
  return { key = key, most = tonumber(most or 1), interval = tonumber(interval or 0), at_once = tonumber(at_once or 1),
    tat = tonumber(tat or 0) }
end

-- As the claim has it: { key, most, interval, at once, line, what selects it }.
function limits.note(at)
  local key = limit_key(at[1])
  redis.call('HSET', key, 'most', at[2], 'interval', at[3], 'at_once', at[4], 'of', at[6])
  keep_key(key, HOUR)
  return limits.load(at[1])
end

function limits.free_at(of) return of.tat - (of.at_once - 1) * of.interval end

function limits.has_room(of)
  if of.interval > 0 then return limits.free_at(of) <= now end
  redis.call('ZREMRANGEBYSCORE', limit_key(of.key, ':held'), '-inf', now)
  return redis.call('ZCARD', limit_key(of.key, ':held')) < of.most
end

function limits.owns(key, member) return tonumber(redis.call('ZSCORE', limit_key(key, ':held'), member) or 0) > now end
function limits.somebody_waits(key) return redis.call('EXISTS', limit_key(key, ':turns')) == 1 end

function limits.hold(of, member, until_ms)
  redis.call('ZADD', limit_key(of.key, ':held'), until_ms, member)
  keep_key(limit_key(of.key, ':held'), until_ms - now + HOUR)
  if of.interval > 0 then return end
  local busy = limits_key(stage_of(of.key), 'busy')
  redis.call('ZADD', busy, math.max(until_ms, tonumber(redis.call('ZSCORE', busy, of.key) or 0)), of.key)
  keep_key(busy, until_ms - now + HOUR)
end

-- Of a rate: one more begins; or one less, which had its time and did not begin.
function limits.spend(of, gives_back)
  if of.interval == 0 then return end
  of.tat = gives_back and of.tat - of.interval or math.max(of.tat, now) + of.interval
  redis.call('HSET', limit_key(of.key), 'tat', string.format('%.3f', of.tat))
  keep_key(limit_key(of.key), math.max(0, math.ceil(of.tat - now)) + HOUR)
end

-- There may be room from now on.
function limits.wake(key)
  if limits.somebody_waits(key) then redis.call('ZADD', limits_key(stage_of(key), 'due'), now, key) end
end

-- What is reserved for the job in these limits, but for one that it holds, is another's.
function limits.give_back(keys, member, kept)
  for key in string.gmatch(keys, '(%S+) %S+') do
    if key ~= kept and redis.call('ZREM', limit_key(key, ':held'), member) == 1 then
      limits.spend(limits.load(key), true)
      limits.wake(key)
    end
  end
end

-- When a look at the key is worth it: `again` milliseconds from now where there is room.
function limits.settle_due(of, again, ttl)
  local due = limits_key(stage_of(of.key), 'due')
  if not limits.somebody_waits(of.key) then return redis.call('ZREM', due, of.key) end
  local at = now + again
  if not limits.has_room(of) then
    local first = of.interval == 0 and redis.call('ZRANGE', limit_key(of.key, ':held'), 0, 0, 'WITHSCORES')
    at = first and tonumber(first[2]) or limits.free_at(of)
  end
  redis.call('ZADD', due, math.ceil(at), of.key)
  keep_key(due, ttl)
end

-- One more waits: a look that is to come before stays.
function limits.expect(of, ttl)
  if not redis.call('ZSCORE', limits_key(stage_of(of.key), 'due'), of.key) then limits.settle_due(of, SOON, ttl) end
end

-- { limit's key, line, place in it, attempt, generation, all limits' keys and lines in turn, when it was claimed last }, or nil.
function limits.entry(stage, member)
  local packed = redis.call('HGET', limits_key(stage, 'jobs'), member)
  local readable, entry = pcall(cmsgpack.unpack, packed or '')
  return readable and type(entry) == 'table' and entry or nil
end

function limits.drop_place(entry, member)
  local line, turns = limit_key(entry[1], ':line:' .. entry[2]), limit_key(entry[1], ':turns')
  redis.call('ZREM', line, member)
  if redis.call('EXISTS', line) == 0 then redis.call('ZREM', turns, entry[2]) end
end

-- Forgets who is in no line any more.
function limits.forget(stage, entry, member)
  limits.drop_place(entry, member)
  redis.call('ZREM', limits_key(stage, 'taken'), member)
  redis.call('HDEL', limits_key(stage, 'jobs'), member)
  redis.call('HDEL', limits_key(stage, 'bodies'), member)
end

function limits.stand(stage, entry, member, ttl)
  local line, turns = limit_key(entry[1], ':line:' .. entry[2]), limit_key(entry[1], ':turns')
  redis.call('ZREM', limits_key(stage, 'taken'), member)
  redis.call('ZADD', line, entry[3], member)
  redis.call('ZADD', turns, 'NX', redis.call('HGET', limit_key(entry[1]), 'turn') or 0, entry[2])
  redis.call('HSET', limits_key(stage, 'jobs'), member, cmsgpack.pack(entry))
  for _, key in ipairs({ line, turns, limit_key(entry[1]), limits_key(stage, 'jobs') }) do keep_key(key, ttl) end
end

-- Who leaves for good gives back what was reserved, unless it runs.
function limits.leave(stage, entry, member)
  if at_work(member) == 0 then limits.give_back(entry[6], member) end
  limits.forget(stage, entry, member)
end

-- Where a line of the key ends, for jobs of a high priority or for the others.
function limits.last_place(key, is_high)
  return redis.call('HINCRBY', limit_key(key), 'seq', 1) + (is_high and 0 or FURTHER_BACK)
end

-- What keeps the job from beginning: the limit as the claim has it, or nil. One whose worker died has its token, and goes before those who
-- wait.
function limits.refusing(wanted, member, resumes)
  for _, at in ipairs(wanted) do
    local of = limits.note(at)
    local is_free = limits.owns(of.key, member) or (resumes and of.interval > 0)
    if not is_free and (not resumes and limits.somebody_waits(of.key) or not limits.has_room(of)) then return at end
  end
  return nil
end

-- The job begins. Whether it has a place in a line that is to be left once it is settled.
function limits.enter(wanted, member, held, until_ms, resumes, ttl)
  for _, at in ipairs(wanted) do
    local of = limits.load(at[1])
    if not limits.owns(of.key, member) and not (resumes and of.interval > 0) then limits.spend(of) end
    if of.interval == 0 then
      limits.hold(of, member, until_ms)
      held.facts.slot = of.key
    else
      redis.call('ZREM', limit_key(of.key, ':held'), member)
    end
  end
  local stage = stage_of(wanted[1][1])
  held.facts.limited, held.facts.limit = stage, nil
  local entry = limits.entry(stage, member)
  if not entry then return false end
  limits.drop_place(entry, member)
  limits.give_back(entry[6], member, held.facts.slot)  -- of limits that its stage had when it was taken
  redis.call('ZADD', limits_key(stage, 'taken'), until_ms, member)
  keep_key(limits_key(stage, 'taken'), ttl)
  return true
end

-- A message of this attempt is obsolete, and so is its place.
function limits.drop(wanted, member, attempt, generation)
  local stage = wanted[1] and stage_of(wanted[1][1])
  local entry = stage and limits.entry(stage, member)
  if entry and entry[4] == attempt and entry[5] == generation then limits.leave(stage, entry, member) end
end

-- The job had room and does not begin now. One that came out of a line goes back to its place after a while.
function limits.step_aside(wanted, member, waited, ttl)
  limits.give_back(keys_of(wanted), member)
  local stage = wanted[1] and stage_of(wanted[1][1])
  local entry = stage and limits.entry(stage, member)
  if not entry then return end
  limits.give_back(entry[6], member)
  limits.drop_place(entry, member)
  redis.call('ZADD', limits_key(stage, 'taken'), now + math.min(LOCK_MAX, math.max(LOCK_MIN, waited / 4)), member)
  keep_key(limits_key(stage, 'taken'), ttl)
end

-- What is known of it in a line: of this attempt, and no other, with its message. Where its limits are others now, it gives up its place.
function limits.known(stage, at, member, attempt, generation)
  local entry = limits.entry(stage, member)
  if not entry then return nil end
  local is_same = entry[4] == attempt and entry[5] == generation
  if is_same and entry[1] == at[1] and entry[2] == at[5] then return entry end
  limits.give_back(entry[6], member)
  if not is_same then return limits.forget(stage, entry, member) end
  limits.drop_place(entry, member)
  entry[3] = nil
  return entry
end

-- Whether it is in the line, at its end or where it was before; a line that is full takes no more.
function limits.join(at, wanted, member, attempt, generation, is_high, ttl)
  local stage = stage_of(at[1])
  local entry = limits.known(stage, at, member, attempt, generation) or {}
  if not entry[3] and redis.call('ZCARD', limit_key(at[1], ':line:' .. at[5])) >= MOST_IN_LINE then
    if entry[1] then limits.forget(stage, entry, member) end
    return false
  end
  local place = entry[3] or limits.last_place(at[1], is_high)
  limits.stand(stage, { at[1], at[5], place, attempt, generation, keys_of(wanted), now }, member, ttl)
  limits.expect(limits.load(at[1]), ttl)
  return true
end

function limits.words(at)
  local of = at[6] ~= '' and ' of ' .. at[6] or ''
  if at[3] > 0 then return 'waits for its turn' .. of .. ': no more may begin now' end
  return 'waits for one of ' .. at[2] .. ' places' .. of
end

-- The job comes again: from its line, or by its message.
function limits.wait(run, job, held, attempt, generation, worker, at, wanted, is_high, ttl)
  local member = job .. ' ' .. run
  limits.give_back(keys_of(wanted), member)
  if not held.facts.waiting_ms then
    held.facts.waiting_ms = now
    record_job_event(run, job, held, 'waiting', attempt, worker, cjson.encode({ kind = 'LimitReached', text = limits.words(at) }))
  end
  -- The fence grows, so that a holder whose lease has ended and that still runs can decide nothing.
  held.state, held.fence, held.facts.attempt, held.facts.decided_ms = 'waiting', held.fence + 1, attempt, now
  held.facts.limit, held.facts.slot, held.facts.needs = at[1], nil, nil
  save_job(run, job, held, ttl)
  keep_run(run, ttl)
  local in_line = limits.join(at, wanted, member, attempt, generation, is_high, ttl)
  return { 'limited', stage_of(at[1]), now - held.facts.waiting_ms, in_line }
end

-- The caller saves the job.
function limits.free(run, job, held)
  local key = held.facts.slot
  held.facts.slot = nil
  if key and redis.call('ZREM', limit_key(key, ':held'), job .. ' ' .. run) == 1 then limits.wake(key) end
end

function limits.renew(run, job, held, until_ms)
  local member, taken = job .. ' ' .. run, limits_key(held.facts.limited, 'taken')
  if held.facts.slot then limits.hold({ key = held.facts.slot, interval = 0 }, member, until_ms) end
  if redis.call('ZSCORE', taken, member) then redis.call('ZADD', taken, until_ms, member) end
end

-- Back to its place: handed back, or its worker died.
function limits.put_back(stage, member, ttl)
  local taken, entry = limits_key(stage, 'taken'), limits.entry(stage, member)
  if not entry then return redis.call('ZREM', taken, member) end
  local until_ms = at_work(member)
  if until_ms > 0 then return redis.call('ZADD', taken, until_ms, member) end
  limits.give_back(entry[6], member)
  limits.stand(stage, entry, member, ttl)
  redis.call('ZADD', limits_key(stage, 'due'), now, entry[1])
  keep_key(limits_key(stage, 'due'), ttl)
end

-- Another limit of the job that has no room, whose line it goes to; nil where all have some.
function limits.elsewhere(of, entry, member)
  for key, line in string.gmatch(entry[6], '(%S+) (%S+)') do
    if key ~= of.key and not limits.owns(key, member) and not limits.has_room(limits.load(key)) then return key, line end
  end
  return nil
end

-- Reserves room in all limits of a job that waits, for `lease` milliseconds.
function limits.reserve(of, entry, member, lease)
  for key in string.gmatch(entry[6], '(%S+) %S+') do
    local each = key == of.key and of or limits.load(key)
    if not limits.owns(key, member) then limits.spend(each) end
    limits.hold(each, member, now + lease)
  end
end

-- Whether the job, which is first, leaves its line to be begun. Else it leaves it for its other line, or as it is at work.
function limits.goes(stage, of, entry, member, lease, ttl)
  local until_ms, job_state = at_work(member)
  local key, line = limits.elsewhere(of, entry, member)
  limits.drop_place(entry, member)
  local taken = limits_key(stage, 'taken')
  if until_ms > 0 then
    redis.call('ZADD', taken, until_ms, member)
    keep_key(taken, ttl)
    return false
  end
  if not NEEDS_NO_ROOM[job_state or ''] then
    if key then
      entry[1], entry[2], entry[3] = key, line, limits.last_place(key, entry[3] < FURTHER_BACK)
      limits.stand(stage, entry, member, ttl)
      limits.expect(limits.load(key), ttl)
      return false
    end
    limits.reserve(of, entry, member, lease)
  end
  redis.call('ZADD', taken, now + lease, member)
  keep_key(taken, ttl)
  return true
end

-- Whether it stands for nothing: its run was ended; or its worker died before it could give the line its message, and another
-- message of it comes again.
function limits.is_left(stage, entry, member, lease)
  if is_stopped(member) then return true end
  return redis.call('HSTRLEN', limits_key(stage, 'bodies'), member) == 0 and (entry[7] or 0) + lease <= now
end

-- Whether the job is to be begun; and whether it has left its line.
function limits.try(stage, of, line, member, lease, ttl)
  local entry = limits.entry(stage, member)
  if not entry then
    limits.drop_place({ of.key, line }, member)
    return false, true
  elseif limits.is_left(stage, entry, member, lease) then
    limits.leave(stage, entry, member)
    return false, true
  elseif redis.call('HSTRLEN', limits_key(stage, 'bodies'), member) == 0 then
    return false, false
  end
  return limits.goes(stage, of, entry, member, lease, ttl), true
end

-- The next of the key whose message is here: the first of the line that was served longest ago. And whether any has left its line.
function limits.next_of(stage, of, lease, ttl)
  local turns, some_left = limit_key(of.key, ':turns'), false
  for _, line in ipairs(redis.call('ZRANGE', turns, 0, MOST_LINES - 1)) do
    for _, member in ipairs(redis.call('ZRANGE', limit_key(of.key, ':line:' .. line), 0, MOST_AHEAD - 1)) do
      local goes, has_left = limits.try(stage, of, line, member, lease, ttl)
      some_left = some_left or has_left
      if goes then
        local turn = redis.call('HINCRBY', limit_key(of.key), 'turn', 1)
        if redis.call('ZSCORE', turns, line) then redis.call('ZADD', turns, turn, line) end
        return member, true
      end
      if has_left and not limits.has_room(of) then return nil, true end
    end
  end
  return nil, some_left
end

-- Takes up to `most` jobs of a stage out of their lines, where there is room: when to look next, in milliseconds from now (-1 for no time),
-- then each with its message. A function of its own, for messages are bytes. Arguments: the stage, `most`, for how long
-- its worker has them, and how long lines are kept.
local function take(_, args)
  now, places, joins = read_clock(), nil, nil
  local stage, most, lease, ttl = args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local due, taken, given = limits_key(stage, 'due'), limits_key(stage, 'taken'), { '' }
  for _, member in ipairs(redis.call('ZRANGE', taken, '-inf', now, 'BYSCORE', 'LIMIT', 0, MOST_LAPSED)) do
    limits.put_back(stage, member, ttl)
  end
  redis.call('ZREMRANGEBYSCORE', limits_key(stage, 'busy'), '-inf', now)
  for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, MOST_KEYS)) do
    local of, goes_on, again, member = limits.load(key), true, true, nil
    while goes_on and #given < 2 * most and limits.has_room(of) do
      member, again = limits.next_of(stage, of, lease, ttl)
      goes_on = member ~= nil
      if member then
        given[#given + 1] = member
        given[#given + 1] = redis.call('HGET', limits_key(stage, 'bodies'), member)
      end
    end
    limits.settle_due(of, again and 0 or SOON, ttl)
    if #given >= 2 * most then break end
  end
  local next_at = math.huge
  for _, key in ipairs({ due, taken }) do
    next_at = math.min(next_at, tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or math.huge))
  end
  given[1] = next_at == math.huge and '-1' or string.format('%d', math.max(0, math.ceil(next_at - now)))
  return given
end

-- A job that waits has its place from its claim on, and its message once the queue has that as well.
function transitions.keep_place(job, run, stage, attempt, generation, ttl)
  local member = job .. ' ' .. run
  local entry = limits.entry(stage, member)
  if not entry or entry[4] ~= attempt or entry[5] ~= generation then return { 'gone' } end
  redis.call('HSET', limits_key(stage, 'bodies'), member, blob)
  keep_key(limits_key(stage, 'bodies'), ttl)
  if not redis.call('ZSCORE', limits_key(stage, 'taken'), member) then limits.wake(entry[1]) end
  return { 'kept' }
end

-- The job is settled: all that follows from it is with the queue.
function transitions.leave_line(job, run, stage, attempt, generation)
  local member = job .. ' ' .. run
  local entry = limits.entry(stage, member)
  if not entry or entry[4] ~= attempt or entry[5] ~= generation then return { 'gone' } end
  limits.leave(stage, entry, member)
  return { 'left' }
end

function transitions.return_to_line(job, run, stage, ttl)
  limits.put_back(stage, job .. ' ' .. run, ttl)
  return { 'returned' }
end
