-- Opens and closes fans, and records outcomes in them.

-- A transition of a job in fans. `joining` is whether the way through the innermost ends with this job.
function transitions.in_fan(job, run, fans, joining, call)
  places, joins = read_places(fans), joining
  return transitions[table.remove(call, 1)](unpack(call))
end

-- The indexes of children with keys: those that they have, or the next ones. Beside them how many are new; or nil, nil, and a key
-- that came twice in this attempt. A call that is sent again is of the same window.
local function key_indexes(run, fan, keys, fence, window)
  local indexes, fresh, seen = {}, 0, {}
  local held = #keys > 0 and redis.call('HMGET', keys_key(run, fan.job), unpack(keys)) or {}
  for place, key in ipairs(keys) do
    local index, by, of = string.match(held[place] or '', '^(%d+) (%d+) (%d+)$')
    if seen[key] or (index and tonumber(by) == fence and tonumber(of) ~= window) then return nil, nil, key end
    if not index then index, fresh = fan.opened + fresh, fresh + 1 end
    seen[key], indexes[place] = true, tonumber(index)
  end
  return indexes, fresh
end

local function save_keys(run, job, keys, indexes, fence, window)
  local pairs_of = {}
  for place, key in ipairs(keys) do
    pairs_of[#pairs_of + 1] = key
    pairs_of[#pairs_of + 1] = string.format('%d %d %d', indexes[place], fence, window)
  end
  if #keys > 0 then redis.call('HSET', keys_key(run, job), unpack(pairs_of)) end
end

-- Those of a window of children, by their indexes or from `confirmed` up to `opened`, that an attempt before this one has opened and
-- that were given up since. Each has a dead letter, and a copy of its message would make another one.
local function lost_of(run, fan, before, opened, indexes)
  local lost, out = {}, out_key(run, fan.job)
  if fan.lost == 0 then return lost end
  if #indexes == 0 and fan.confirmed < opened then
    local slots = redis.call('GETRANGE', out, fan.confirmed * SLOT, math.min(opened, before) * SLOT - 1)
    for at = 1, #slots, SLOT do
      if string.sub(slots, at, at) == 'K' then lost[#lost + 1] = fan.confirmed + (at - 1) / SLOT end
    end
  end
  for _, index in ipairs(indexes) do
    if index < before and redis.call('GETRANGE', out, index * SLOT, index * SLOT) == 'K' then lost[#lost + 1] = index end
  end
  return lost
end

-- Makes room for those up to `grown`, and counts how many a run has opened so far, all fans together.
local function add_children(run, job, before, grown)
  if grown <= before then return end
  redis.call('HINCRBY', progress_key(run), 'children', grown - before)
  redis.call('PEXPIRE', progress_key(run), math.max(redis.call('PTTL', run_key(run)), HOUR))
  redis.call('SETRANGE', out_key(run, job), grown * SLOT - 1, '\0')
end

-- Of a job that is known to have a fan its reader asks for that.
local function note_opening(run, job, held, worker, ttl)
  if held.facts.opens then return end
  record_job_event(run, job, held, 'opened', held.facts.attempt or 1, worker, '')
  held.facts.opens = true
  save_job(run, job, held, ttl)
end

-- An attempt that waits for room in a queue gets on: its outage, by which the next pause is chosen, begins once more.
local function outage_goes_on(run, job, held, ttl)
  if not held.facts.outage_ms then return end
  held.facts.outage_ms = now
  save_job(run, job, held, ttl)
end

-- The fan that a claim of its job may open children of; or why it opens none.
local function opened_by(run, job, held, fence)
  if not held or held.fence ~= fence or held.state ~= 'running' then return 'stale' end
  if STOPPED[run_state(run) or ''] then return 'over' end
  local fan = load_fan(run, job) or new_fan(job)
  if fan.state == 'fired' and has_begun(run, fan) then return 'over' end
  return nil, fan
end

-- A window of children may be claimed from now on: up to index `opened`, or those with these keys. Only the newest claim of their
-- parent opens some. Either all of its attempts give keys or none does: one item would become two jobs.
function transitions.open_fan(job, run, fence, opened, confirmed, keys, window, most, share, least, join, worker, ttl)
  local held = load_job(run, job)
  local refused, fan = opened_by(run, job, held, fence)
  if refused then return { refused } end
  local is_keyed, gives = redis.call('EXISTS', keys_key(run, job)) == 1, #keys > 0 or opened > 0
  if gives and fan.opened > 0 and is_keyed ~= (#keys > 0) then return { 'changed' } end
  local indexes, fresh, twice = key_indexes(run, fan, keys, fence, window)
  if twice then return { 'twice', twice } end
  local before, grown = fan.opened, math.max(opened, fan.opened + fresh)
  local children = tonumber(redis.call('HGET', progress_key(run), 'children') or 0)
  if grown > before and children + grown - before > most then return { 'too-wide' } end
  note_opening(run, job, held, worker, ttl)
  fan.state, fan.total, fan.share, fan.least, fan.join = 'open', -1, share, least, join
  local known = fan.confirmed
  fan.opened, fan.confirmed = grown, math.min(grown, math.max(known, confirmed))
  if fan.confirmed > known then outage_goes_on(run, job, held, ttl) end
  save_keys(run, job, keys, indexes, fence, window)
  add_children(run, job, before, grown)
  save_fan(run, fan, ttl)
  keep_children(run, fan, ttl)
  return { 'opened', grown, fan.confirmed, indexes, lost_of(run, fan, before, opened, indexes) }
end

-- The parent's own decision: so many children there are. Those of a job that forks are opened with it; with a `story` it was given
-- up, and forks all the same.
function transitions.close(job, run, attempt, fence, worker, verdict, following, story, children, share, least, join, within, ttl)
  local refused, held = refusal(run, job, attempt, fence, worker, ttl)
  if refused then return again(refused, run, job, held, ttl) end
  local fan = load_fan(run, job) or new_fan(job)
  if fan.state ~= 'fired' then
    local total = math.max(children, fan.opened)
    fan.state, fan.total, fan.opened, fan.confirmed, fan.fence = 'closed', total, total, total, fence
    fan.share, fan.least, fan.join, fan.stage = share, least, join, following
    fan.within, fan.due = within, within > 0 and now + within or 0
    save_fan(run, fan, ttl)
  end
  held.state, held.verdict, held.facts.decided_ms = 'done', verdict, now
  held.facts.next, held.facts.opens = following, true
  save_job(run, job, held, ttl)
  record_job_event(run, job, held, story == '' and 'finished' or 'gave_up', attempt, worker, story)
  record_job_event(run, job, held, 'closed', attempt, worker, cjson.encode({ total = fan.total }))
  if redis.call('PTTL', run_key(run)) < ttl then keep_run(run, ttl) end
  return again({ 'recorded' }, run, job, held, ttl)
end

-- Nothing was decided of a job's children for long, so perhaps no message has them: what the job came to is replaced by that it was
-- given up. Its fan is open again, and a redrive of it sends all that is not decided. With `late` their time is over, and too few were
-- done as its message was claimed: what has come since counts, and a redrive since has given them the time again.
function transitions.stall(job, run, attempt, worker, verdict, failure, late, ttl)
  local held = load_job(run, job)
  if not held then return { 'stale' } end
  if held.state == 'dead' and held.verdict == verdict then return again({ 'recorded' }, run, job, held, ttl, failure) end
  local fan = load_fan(run, job)
  if held.state ~= 'done' or not fan or fan.state == 'fired' then return { 'stale' } end
  local owner = load_run(run)
  if not owner or STOPPED[owner.state] or owner.state == 'completed' then return { 'over' } end
  -- A run that has failed may be repaired: until then no time counts, and the parent's message stays.
  if owner.state ~= 'queued' or (late and not is_too_late(fan, owner)) then return { 'stale' } end
  fan.state, fan.total = 'open', -1  -- what comes yet is counted, and fires nothing until the job has run again
  save_fan(run, fan, ttl)
  held.fence = held.fence + 1
  return record_death(run, owner, job, held, attempt, worker, verdict, failure, failure, ttl)
end

-- Whether the end of a way is one of many, and nothing else follows from it: then it is counted without `settle`, at a third of the cost.
-- A fan that is broken has failed its run before.
local function is_usual(fan, index, ttl)
  return fan and (fan.state == 'open' or (fan.state == 'closed' and fan.done + fan.lost + 1 < fan.total))
    and index < fan.opened and now - fan.kept <= ttl / 64
end

-- Usual ends are counted together.
local function save_counted(at)
  if at.counted then redis.call('HSET', fan_key(at.run, at.fan.job), 'done', at.fan.done, 'at', now) end
  at.fan, at.counted = nil, false
end

-- The end of one way: 1 where it is recorded, or the reply with what it fired; 0 where it is for `done` to judge, as all that fails is.
local function end_way(at, key, claim, record, index, id)
  if not at.goes_on or at.is_left or redis.call('GET', key) ~= claim then return 0 end
  at.fan = at.fan or load_fan(at.run, at.parent)
  local slot, fired = index * SLOT, nil
  if is_usual(at.fan, tonumber(index), at.ttl) and redis.call('GETRANGE', at.out, slot, slot) == '\0' then
    redis.call('SETRANGE', at.out, slot, 'D' .. id)
    at.fan.done, at.counted = at.fan.done + 1, true
  else
    save_counted(at)
    places, at.job = read_places(at.of .. ' ' .. index), string.sub(key, -2 * #id)
    if is_left_behind(at.run) then return 0 end
    fired = settle(at, #places, at.job, 'D')
  end
  redis.call('SET', key, record, 'PX', at.ttl)
  return fired and cmsgpack.pack({ 'recorded', unpack(fired) }) or 1
end

-- Ends of children's ways in one fan, each as above. The keys: of the run, of the fans, and of the jobs. Arguments: the run's id, the
-- places of a job but for its index in the innermost fan, the time, how long it is kept; and of each job the claim, the record, that
-- index, and its id in bytes.
local function join(keys, args)
  local jobs = (#args - 4) / 4
  local before, state, replies = #keys - jobs, RUN_STATES[redis.call('GETRANGE', keys[1], 0, 0)], {}
  local at = { run = args[1], of = args[2], parent = string.match(args[2], '%S+$'), out = keys[before], ttl = tonumber(args[4]),
    failure = '', goes_on = state and not STOPPED[state] }
  now, joins = tonumber(args[3]), true
  places = read_places(at.of)  -- those around the fan: once it is left behind, each end is one that `done` notes
  at.is_left = is_left_behind(at.run)
  for place = 1, jobs do
    local whole, reply = pcall(end_way, at, keys[before + place], unpack(args, place * 4 + 1, place * 4 + 4))
    replies[place] = whole and reply or 0
  end
  save_counted(at)
  return replies
end
