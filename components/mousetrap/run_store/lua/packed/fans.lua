-- Counts the children of jobs, and finds when their joins begin.

-- A fan is the record of one job's children, a hash:
--   state              open; closed, once the total is known; fired
--   opened, confirmed  how many indexes may be claimed, and how many of these are with the broker for sure
--   total, done, lost  how many there are (-1 while open), how many ended with an output, how many were given up
--   share, least       what the join needs: a share of all, or a number of them where that is not -1
--   join, stage        what a worker needs to publish the join, in its own words, empty where nothing joins them; and its stage
--   fence              that the job was decided under, which the join's message carries
--   by                 the job whose decision fired it: its message, delivered again, publishes the join again
--   failure            of the first that was given up
--   at, kept           when one was opened or decided last, and when these keys were last kept for longer
--   renewed            when the records of its children were, since it was opened; renewed_to: the index at which that goes on, or 0
--   noted, noted_late  how many that were given up, and how many whose outcome came late, are in the timeline or were after MOST_LOST
--   within, due        for how long they may go on once the total is known, and until when; 0 for no end
--   late               how many were not decided when that time was over, and count as lost. Earlier versions write none of these three
--   again INDEX        that this way was redriven after the fan had fired: its jobs run, and count nothing
-- and a string of 17 bytes an index: how its way ended (0 not yet, D done, K given up), and the id of the job that it ended with,
-- whose signed record has the output.
local SLOT = 17
local COUNTS = { D = 'done', K = 'lost' }
local NUMBERS = { 'opened', 'confirmed', 'total', 'done', 'lost', 'share', 'least', 'fence', 'at', 'kept' }
-- For so long what comes too early waits: a quarter of the time in which nothing came to the fan, between these.
local SHORTEST_WAIT, LONGEST_WAIT = 5000, 600000
local FORGOTTEN = '{"kind":"FanForgotten","text":"the store has forgotten that this run\'s children were opened"}'

-- Filled by the first call: a library that is being loaded has no functions for texts.
local bytes, digits

local function fill_bytes()
  if bytes then return end
  bytes, digits = {}, {}
  for byte = 0, 255 do
    local both = string.format('%02x', byte)
    bytes[both], digits[string.char(byte)] = string.char(byte), both
  end
end

local function packed_id(job)
  fill_bytes()
  local packed = string.gsub(job, '%x%x', bytes)
  if #packed ~= SLOT - 1 then damaged('the id') end
  return packed
end

local function text_id(packed)
  fill_bytes()
  return (string.gsub(packed, '.', digits))
end

-- The places of a job, from a text of job and index in turn, outermost first.
local function read_places(text)
  local found = {}
  for job, index in string.gmatch(text, '(%S+) (%d+)') do
    found[#found + 1] = { job = job, index = tonumber(index) }
  end
  return found
end

-- Whether the call's job is one of this job's children, and not one that follows from them.
local function is_child(parent) return places and places[#places].job == parent end

-- nil where the job has no fan, or the store has forgotten it.
local function load_fan(run, job)
  local values = redis.call('HMGET', fan_key(run, job), 'state', 'join', 'by', 'stage', 'within', 'due', 'late', unpack(NUMBERS))
  if not values[1] then return nil end
  local fan = { job = job, state = values[1], join = values[2], by = values[3], stage = values[4] }
  fan.within, fan.due, fan.late = tonumber(values[5]) or 0, tonumber(values[6]) or 0, tonumber(values[7]) or 0
  for place, name in ipairs(NUMBERS) do fan[name] = tonumber(values[place + 7]) or damaged('the fan') end
  return fan
end

local function new_fan(job)
  return { job = job, state = 'open', join = '', by = '', stage = '', opened = 0, confirmed = 0, total = -1, done = 0, lost = 0, share = 1,
    least = -1, fence = 0, at = now, kept = now, renewed = now, within = 0, due = 0, late = 0 }
end

local function save_fan(run, fan, ttl)
  fan.at, fan.kept = now, now
  local pairs_of = { 'state', fan.state, 'join', fan.join, 'by', fan.by, 'stage', fan.stage, 'within', fan.within, 'due', fan.due,
    'late', fan.late }
  for _, name in ipairs(NUMBERS) do
    pairs_of[#pairs_of + 1] = name
    pairs_of[#pairs_of + 1] = fan[name]
  end
  if fan.renewed then
    pairs_of[#pairs_of + 1] = 'renewed'
    pairs_of[#pairs_of + 1] = fan.renewed
  end
  redis.call('HSET', fan_key(run, fan.job), unpack(pairs_of))
  keep_fan(run, fan.job, ttl)
end

-- Children whose records are kept for longer in one call: a few milliseconds of the server.
local KEPT_AT_ONCE = 1000

-- The record that a child's way ended with is kept from when it was decided, and its fan may take longer: each time that a quarter of
-- `ttl` has passed, the records of all get the fan's own life, a page in a call. So a child pays for it four times in `ttl`, and
-- never in a fan that takes less than a quarter. Whether another page is left.
local function keep_children(run, fan, ttl)
  local key = fan_key(run, fan.job)
  local since, from = read(key, 'renewed', 'renewed_to')
  from = tonumber(from or 0)
  if from == 0 then
    if now - tonumber(since or 0) <= ttl / 4 then return false end
    redis.call('HSET', key, 'renewed', now)
  end
  local life = redis.call('PTTL', key)
  local slots = redis.call('GETRANGE', out_key(run, fan.job), from * SLOT, (from + KEPT_AT_ONCE) * SLOT - 1)
  for start = 1, #slots, SLOT do
    if string.sub(slots, start, start) ~= '\0' then
      redis.call('PEXPIRE', job_key(run, text_id(string.sub(slots, start + 1, start + SLOT - 1))), life, 'GT')
    end
  end
  local goes_on = #slots == KEPT_AT_ONCE * SLOT
  redis.call('HSET', key, 'renewed_to', goes_on and from + KEPT_AT_ONCE or 0)
  return goes_on
end

-- How many children the join needs, once it is known how many there are.
local function needed(fan)
  return fan.least >= 0 and math.min(fan.least, fan.total) or math.ceil(fan.share * fan.total - 1e-9)
end

-- Whether the join cannot have what it needs any more. While children are still opened only a loss that no number of others makes
-- up for is one.
local function is_broken(fan)
  if fan.lost == 0 then return false end
  if fan.total < 0 then return fan.least < 0 and fan.share >= 1 end
  return fan.total - fan.lost < needed(fan)
end

-- The run has lost a child that it needs: it has failed, and the other children go on, so that it can be repaired.
local function fail_run(at, failure)
  local owner = load_run(at.run)
  if not owner or ENDED[owner.state] then return nil end
  log_records(at.run)
  end_run(at.run, owner, 'failed', failure, at.ttl)
  record_event(at.run, 'failed', '', '', 0, '', '')
  return { 'failed' }
end

-- Nothing joins the children: the last one ends the run.
local function complete_run(at)
  local owner = load_run(at.run)
  if owner and not ENDED[owner.state] then
    log_records(at.run)
    end_run(at.run, owner, 'completed', '', at.ttl)
    record_event(at.run, 'completed', '', '', 0, '', '')
  end
  return { 'completed' }
end

local settle

-- What follows from a fan as it is now, by the job that was decided last: nil; `fired`, with what its join needs; or how the run has
-- ended with it. `level` is how
-- deep the fan is. Asked again by the same job, it is the same again.
local function check(at, level, fan)
  if fan.state ~= 'fired' then
    if is_broken(fan) then
      if level > 1 then return settle(at, level - 1, fan.job, 'K') end
      return fail_run(at, at.failure ~= '' and at.failure or redis.call('HGET', fan_key(at.run, fan.job), 'failure') or '')
    end
    if fan.state ~= 'closed' or fan.done + fan.lost < fan.total then return nil end
    fan.state, fan.by = 'fired', at.job
    redis.call('HSET', fan_key(at.run, fan.job), 'state', 'fired', 'by', at.job)
    if level == 1 then
      local counts = { total = fan.total, done = fan.done, lost = fan.lost, late = fan.late > 0 and fan.late or nil }
      record_event(at.run, 'fired', '', fan.job, 0, '', cjson.encode(counts))
    end
  elseif fan.by ~= at.job then
    return nil
  end
  if fan.join ~= '' then return { 'fired', fan.job, fan.fence, fan.total, fan.done, fan.lost, fan.join } end
  if level > 1 then return settle(at, level - 1, fan.job, 'D') end
  return complete_run(at)
end

-- The keys of a run, and of a fan in it, are kept for longer. What was decided in the fan shows that those around it do not stand
-- still.
local function keep_all(run, fan, at, ttl)
  redis.call('HSET', fan_key(run, fan.job), 'kept', now)
  keep_fan(run, fan.job, ttl)
  keep_run(run, ttl)
  for _, place in ipairs(places or {}) do
    local outer = fan_key(run, place.job)
    if place.job == fan.job then return end
    if tonumber(redis.call('HGET', outer, 'at') or math.huge) < at then redis.call('HSET', outer, 'at', at) end
  end
end

-- Counts, after all that can fail has been read.
local function count(at, place, fan, slot, held, verdict, packed)
  local key, out = fan_key(at.run, fan.job), out_key(at.run, fan.job)
  fan[COUNTS[verdict]] = fan[COUNTS[verdict]] + 1
  if held then fan[COUNTS[held]] = fan[COUNTS[held]] - 1 end
  fan.opened = math.max(fan.opened, place.index + 1)
  redis.call('HSET', key, 'done', fan.done, 'lost', fan.lost, 'opened', fan.opened, 'at', now)
  redis.call('SETRANGE', out, place.index * SLOT, verdict .. packed)
  if verdict == 'K' and at.failure ~= '' then redis.call('HSETNX', key, 'failure', at.failure) end
  if slot == '' then keep_fan(at.run, fan.job, at.ttl) end
  if now - fan.kept > at.ttl / 64 then keep_all(at.run, fan, now, at.ttl) end
end

-- The way through an index of the fan at `level` has ended with a job, and counts once: a duplicate finds it decided. Where the
-- store has forgotten the fan, the claim that the parent's next attempt leads to counts it. An output where another job on the way
-- was given up is of a redrive that the store has forgotten.
settle = function(at, level, job, verdict)
  local place = places[level]
  local fan = load_fan(at.run, place.job)
  if not fan then return nil end
  local packed, start = packed_id(job), place.index * SLOT
  local slot = redis.call('GETRANGE', out_key(at.run, fan.job), start, start + SLOT - 1)
  local held = string.match(slot, '^[DK]')
  if held and string.sub(slot, 2) ~= packed and not (held == 'K' and verdict == 'D') then return nil end
  if held ~= verdict and fan.state ~= 'fired' then count(at, place, fan, slot, held, verdict, packed) end
  return check(at, level, fan)
end

-- What a job's recorded outcome means for the fan that it has, or for those that it is in.
local function count_decided(run, job, held, ttl, failure)
  local at = { run = run, job = job, ttl = ttl, failure = failure or '' }
  if held.state == 'done' and held.facts.opens then
    local fan = load_fan(run, job)
    return fan and check(at, #(places or {}) + 1, fan)
  end
  if not places then return nil end
  if held.state == 'dead' then return settle(at, #places, job, 'K') end
  return held.state == 'done' and held.facts.joins and settle(at, #places, job, 'D') or nil
end

-- The reply to a decision that is recorded, now or before, with what it fired.
local function again(reply, run, job, held, ttl, failure)
  if reply[1] ~= 'recorded' or not held or not (places or held.facts.opens) then return reply end
  return { 'recorded', unpack(count_decided(run, job, held, ttl, failure) or {}) }
end

local function early(fan)
  return { 'busy', math.floor(math.max(SHORTEST_WAIT, math.min(LONGEST_WAIT, (now - fan.at) / 4))) }
end

-- The reply to a child that was opened by no claim of its parent that the store knows of: only a store that has forgotten something
-- meets one. Its message waits until the parent's next attempt has opened it again. After a day there is none, and the run has failed.
local function unopened(run, parent, ttl)
  if not is_child(parent) then return nil end
  local fan = load_fan(run, parent)
  if fan and places[#places].index < fan.opened then return nil end
  if not fan then
    fan = new_fan(parent)
    save_fan(run, fan, ttl)
  end
  if now - fan.at <= DAY then return early(fan) end
  fail_run({ run = run, ttl = ttl }, FORGOTTEN)
  return { 'forgotten' }
end

-- Whether the join of a fan that has fired was claimed. Until then it may be fired once more: it is the same job.
local function has_begun(run, fan)
  return redis.call('EXISTS', job_key(run, job_id(run, fan.stage, fan.job))) == 1
end

-- Whether the time of a run is over. A redrive takes it away.
local function is_late(owner) return now >= (owner.facts.expires_ms or math.huge) end

-- For how long a run whose time is over may be repaired: the messages of its children are dropped then, and those of the jobs that
-- opened them are kept for so long, to send them again. An eighth is left for these to come before all is forgotten.
local function can_send_again(fan, ttl) return now - fan.at < ttl - ttl / 8 end

-- When the time of a fan's children is over. The repair of a failed run gives each of its fans the time again.
local function due_at(fan, owner) return math.max(fan.due, (owner.facts.repaired_ms or 0) + fan.within) end

-- How long nothing was decided of the children that a job waits for; nil for one that waits for none, or whose join has begun: that
-- one's message shows all that a store could forget. A run that has failed for lack of some may be repaired, and a join may wait
-- for a worker: then no time is too long, but that after which the run is forgotten.
local function waited(run, job, held, owner, ttl)
  local state = owner.state
  if (state ~= 'queued' and state ~= 'failed') or held.state ~= 'done' or not held.facts.opens then return nil end
  local fan = load_fan(run, job)
  if not fan then return nil end
  local idle, fired = now - fan.at, fan.state == 'fired'
  if state == 'queued' and not fired then
    if now - fan.kept > ttl / 64 then keep_all(run, fan, fan.at, ttl) end
    if keep_children(run, fan, ttl) then return { 'waits', 0 } end
    -- One that is broken, and that the one around it can do without, may be repaired until that one has fired.
    if is_broken(fan) then return { 'waits', math.min(idle, HOUR) } end
    return { 'waits', idle, fan.state == 'closed' and fan.due > 0 and math.max(0, due_at(fan, owner) - now) or nil }
  end
  if fired and has_begun(run, fan) then return nil end
  if idle >= ttl / 2 and not (is_late(owner) and not fired and can_send_again(fan, ttl)) then return nil end
  return { 'waits', not fired and keep_children(run, fan, ttl) and 0 or math.min(idle, HOUR) }
end

-- The parent of children is to run again: all that is not decided is sent once more, and may be what no message has.
local function open_again(run, job, held)
  local fan = held.facts.opens and load_fan(run, job)
  if not fan or (fan.state == 'fired' and has_begun(run, fan)) then return end
  redis.call('HSET', fan_key(run, job), 'state', 'open', 'total', -1, 'confirmed', 0, 'at', now, 'lost', fan.lost - fan.late, 'late', 0)
end

-- Whether the time of a fan's children is over. Only the message of their parent ends it: what is decided before that counts.
local function is_overdue(fan, owner) return fan.state == 'closed' and fan.due > 0 and now >= due_at(fan, owner) end

-- What is not decided counts as lost from now on, and is not begun any more.
local function end_overdue(run, fan)
  fan.late, fan.lost = fan.total - fan.done - fan.lost, fan.total - fan.done
  redis.call('HSET', fan_key(run, fan.job), 'late', fan.late, 'lost', fan.lost)
end

-- Whether that leaves the join with less than it needs. A fan that is broken has a loss of its own.
local function is_too_late(fan, owner) return is_overdue(fan, owner) and not is_broken(fan) and fan.done < needed(fan) end

-- The message of a parent whose children's time is over: nil where that ends them, as enough are done; `late` where the parent is to be
-- given up. While a run has failed no time counts, for it may be repaired.
local function judge_time(run, job, held, owner)
  local fan = held.state == 'done' and held.facts.opens and owner.state == 'queued' and load_fan(run, job)
  if not fan or not is_overdue(fan, owner) or is_broken(fan) then return nil end
  if is_too_late(fan, owner) then return { 'late', fan.total, fan.done, fan.lost } end
  end_overdue(run, fan)
  return nil
end

-- Whether a fan that the call's job is in has fired, so that what is not decided on its way changes nothing any more: the time was
-- over, or it is in an inner fan that counts as lost. What was redriven since runs all the same.
local function is_left_behind(run)
  for _, place in ipairs(places or {}) do
    local state, again = read(fan_key(run, place.job), 'state', 'again ' .. place.index)
    if state == 'fired' and not again then return true end
  end
  return false
end

-- The outcome of such a job counts nothing. The timeline has the first ones.
local function note_late(run, job, held, attempt, worker)
  if not joins or not is_left_behind(run) then return end
  if redis.call('HINCRBY', fan_key(run, held.facts.fan), 'noted_late', 1) > MOST_LOST then return end
  record_job_event(run, job, held, 'late', attempt, worker, '')
end

-- Whether the join of a fan that has fired is not decided, and may be dropped.
local function is_join_open(run, fan)
  local held = load_job(run, job_id(run, fan.stage, fan.job))
  return not held or (held.state ~= 'done' and held.state ~= 'dead')
end

-- A run was repaired after its time, when the messages of its children were dropped: each job that opened some before sends those
-- again that are not decided, once its fan is not broken any more, or their join.
local function send_dropped(run, owner, job, held)
  if owner.state ~= 'queued' or held.state ~= 'done' or not held.facts.opens or held.facts.again then return end
  if (held.facts.decided_ms or 0) >= (owner.facts.late_until_ms or 0) then return end
  local fan = not is_left_behind(run) and load_fan(run, job)
  if not fan then return end
  if fan.state == 'fired' then
    if is_join_open(run, fan) then redis.call('HSET', fan_key(run, job), 'by', job) end
    return
  end
  if is_broken(fan) then return end
  open_again(run, job, held)
  held.facts.again = true
end

-- A join is claimed whose children are not all decided: they were, and the store has forgotten it. Its message waits, and the parent's
-- is to send once more what no message may have. After a day it begins, and gives up what it lacks.
local function awaits_fire(run, parent, of, ttl)
  local fan = of.facts.opens and load_fan(run, parent)
  if not fan or fan.state == 'fired' or now - fan.at > DAY then return nil end
  if is_overdue(fan, load_run(run)) and fan.done >= needed(fan) then  -- it was fired for that, and its parent's message may be gone
    end_overdue(run, fan)
    check({ run = run, job = parent, ttl = ttl, failure = '' }, #(places or {}) + 1, fan)
    return nil
  end
  if of.state == 'done' and not of.facts.again then
    open_again(run, parent, of)
    of.facts.again = true
    save_job(run, parent, of, ttl)
  end
  return early(fan)
end

-- Whether what is recorded of a join is of an earlier fire: it was given up, or redriven since, before its parent was decided the last
-- time. Only a store that has forgotten a fire has a parent decided twice.
local function is_outdated(run, parent, fence, held)
  if held.state ~= 'dead' and held.state ~= 'redriving' and held.state ~= 'redriven' then return false end
  local of = parent ~= '' and not is_child(parent) and load_job(run, parent)
  if not of or not of.facts.opens or of.state ~= 'done' or of.fence ~= fence then return false end
  return math.max(held.facts.decided_ms or 0, held.facts.redriven_ms or 0) < (of.facts.decided_ms or 0)
end

-- A join is claimed whose run has failed: the store has forgotten that the run was repaired before it was fired. One that is in
-- another fan goes on all the same, as the run may have failed for lack of others there.
local function revive(run, owner, parent, held, ttl)
  if places or owner.state ~= 'failed' or held.state == 'done' or held.state == 'dead' then return end
  local of = load_job(run, parent)
  if not of or of.state ~= 'done' or not of.facts.opens then return end
  owner.state, owner.facts.finished_ms, owner.facts.failure, owner.facts.expires_ms = 'queued', nil, nil, nil
  save_run(run, owner, ttl)
end

-- The reply to a claim of a job that is decided, with what that fired: its worker may have died before it acted on it.
local function with_fans(reply, run, job, held, owner, ttl)
  if reply[1] ~= 'decided' or held.state == 'retrying' or not (places or held.facts.opens) then return reply end
  if owner.state == 'completed' then return reply end
  local goes_on = not is_left_behind(run)  -- else no time of its own children counts, and nothing of them is waited for
  reply[5] = goes_on and judge_time(run, job, held, owner) or count_decided(run, job, held, ttl)
    or goes_on and waited(run, job, held, owner, ttl) or nil
  return reply
end

-- Whether the messages are still kept that can send again what the job's redrive leads to.
local function are_senders_kept(run, ttl)
  for _, place in ipairs(places or {}) do
    local fan = load_fan(run, place.job)
    if fan and fan.state ~= 'fired' and not can_send_again(fan, ttl) then return false end
  end
  return true
end

-- A way that is redriven once fans around it have fired is gone on without, and its jobs run all the same: `late`, or false where none has.
-- The message of before, which alone would publish a join again that it has fired, is of an earlier generation now: the opener's does.
local function note_late_redrive(run, job)
  local late = false
  for _, place in ipairs(places) do
    local key = fan_key(run, place.job)
    if redis.call('HGET', key, 'state') == 'fired' then
      redis.call('HSET', key, 'again ' .. place.index, 1)
      if redis.call('HGET', key, 'by') == job then redis.call('HSET', key, 'by', place.job) end
      late = 'late'
    end
  end
  return late
end

-- A job that was given up is done again: its index is undecided, and so are those that were lost by it further out. Whether its run
-- may go on; `late` where a join has gone on without it.
local function reopen_places(run, job)
  local late = note_late_redrive(run, job)
  for level = #places, 1, -1 do
    local place = places[level]
    local fan, out = load_fan(run, place.job), out_key(run, place.job)
    if fan then
      if fan.state == 'fired' then return late end
      local start = place.index * SLOT
      if redis.call('GETRANGE', out, start, start) == 'K' then
        fan.lost = fan.lost - 1
        redis.call('HSET', fan_key(run, place.job), 'lost', fan.lost, 'at', now)
        if fan.due > 0 then redis.call('HSET', fan_key(run, place.job), 'due', now + fan.within) end
        redis.call('SETRANGE', out, start, string.rep('\0', SLOT))
      end
      if is_broken(fan) or redis.call('GETRANGE', job_key(run, place.job), 0, 0) == JOB_BYTES.dead then return late end
    end
  end
  return true
end

-- Whether children of a job may still begin or go on: some are not decided, or the job may open more; or one was lost with children
-- of its own of which that holds. Of the lost each costs a look, which only an operator's call pays. Once it has fired none goes on.
local function has_open_children(run, job, held)
  local fan = load_fan(run, job)
  if not fan or fan.state == 'fired' then return false end
  if fan.state == 'open' and held.state ~= 'dead' then return true end
  if fan.done + fan.lost < math.max(fan.total, fan.opened) then return true end
  local slots = fan.lost > 0 and redis.call('GETRANGE', out_key(run, job), 0, -1) or ''
  for start = 1, #slots, SLOT do
    if string.sub(slots, start, start) == 'K' then
      local lost = text_id(string.sub(slots, start + 1, start + SLOT - 1))
      local of = redis.call('EXISTS', fan_key(run, lost)) == 1 and load_job(run, lost)
      if of and has_open_children(run, lost, of) then return true end
    end
  end
  return false
end

-- Whether a run that has failed goes on with children: of one of the jobs in its row.
local function is_at_work(run, owner)
  local job = job_id(run, owner.facts.stage or '', '')
  while job do
    local held = load_job(run, job)
    if not held then return false end
    if has_open_children(run, job, held) then return true end
    job = held.state == 'done' and held.facts.next and job_id(run, held.facts.next, job)
  end
  return false
end

-- Whether no key of the fans that the call touches is of another type.
local function are_fans_whole(run, job)
  local jobs = { job }
  for _, place in ipairs(places or {}) do jobs[#jobs + 1] = place.job end
  for _, each in ipairs(jobs) do
    if not (pcall(redis.call, 'HGET', fan_key(run, each), 'state') and pcall(redis.call, 'HGET', keys_key(run, each), '')
      and pcall(redis.call, 'GETRANGE', out_key(run, each), 0, 0)) then return false end
  end
  return true
end
