-- Opens and ends runs.

local transitions = {}

local function end_run(run, held, state, failure, ttl)
  held.state, held.facts.finished_ms = state, now
  if failure ~= '' then held.facts.failure = failure end
  save_run(run, held, ttl)
end

-- Whether a rejected run was accepted at this later time, which the store has forgotten, as a replica can that takes over: the
-- submission that was rejected has no message so young.
local function accepted_since(held, accepted_ms)
  return held.state == 'rejected' and accepted_ms > (held.facts.accepted_ms or accepted_ms)
end

-- Until its first job is due, the run is kept so that the claim of that job finds how it ended.
local function until_due(held) return math.max(0, (held.facts.due_ms or 0) - now) end

-- Lists of runs look back for as long as the longest delay of a run that is kept. A function of its own, for a cluster has its key
-- elsewhere. The key: the longest delay. Arguments: another delay, and how long runs are kept.
local function note_delay(keys, args)
  local delay, kept = tonumber(args[1]), args[1] + args[2] + 2 * DAY
  if delay > (tonumber(redis.call('GET', keys[1]) or 0) or 0) then
    redis.call('SET', keys[1], args[1], 'PX', kept)
  else
    redis.call('PEXPIRE', keys[1], kept, 'GT')
  end
  return 1
end

-- Takes a name away, unless its run was named again since it was read. A function of its own for the same reason. The key: the
-- names. Arguments: the run, and the time that it was named with.
local function unname(keys, args)
  if tonumber(redis.call('ZSCORE', keys[1], args[1]) or 0) ~= tonumber(args[2]) then return 0 end
  return redis.call('ZREM', keys[1], args[1])
end

-- The message was there before the record of its submission: what only the submitter knows joins what the claim recorded.
local function complete(run, held, record)
  for name, value in pairs(decode_run(record).facts) do
    if held.facts[name] == nil then held.facts[name] = value end
  end
  held.facts.restored = nil
  save_run(run, held)
end

-- A run whose id is recorded. A repeat of a run that no worker has met yet may be published again: its
-- first job has the same id. Two have no input to compare: a tombstone, whose run was never recorded, and a run that was restored
-- from a later job's message, which is under way. The last part of the reply is the number of this submission among those of the run.
function transitions.open_run(run, record, first, pipeline, digest, delay, ttl)
  local held = load_run(run)
  local facts = facts_of(held)
  local tombstone = held and held.state == 'rejected' and not facts.pipeline
  local is_later = held and not tombstone and not facts.digest
  local same = tombstone or (facts.pipeline == pipeline and (is_later or facts.digest == digest))
  if not held or (held.state == 'rejected' and same) then
    if held then redis.call('DEL', events_key(run), progress_key(run)) end
    redis.call('SET', run_key(run), record, 'PX', extended(ttl + delay))
    return { 'opened', 0, 0, 0, 1 }
  end
  if not same then return { 'conflict', facts.accepted_ms or 0, 0, 0, 0 } end
  if facts.restored then complete(run, held, record) end
  -- A second copy of a delayed job would come due after its run is over, perhaps when that is forgotten.
  local waiting = held.state == 'queued' and not facts.published and not is_later
    and redis.call('EXISTS', job_key(run, first)) == 0
  if waiting then
    facts.submitters, facts.submissions = (facts.submitters or 1) + 1, (facts.submissions or 1) + 1
    save_run(run, held)
  end
  return { waiting and 'waiting' or 'known', facts.accepted_ms or 0, facts.expires_ms or 0, facts.due_ms or 0,
    waiting and facts.submissions or 0 }
end

-- The broker has the first job. Of a run with a delay the record has that, for until its claim nothing else shows it.
function transitions.mark_published(run)
  local held = load_run(run)
  if held and held.facts.due_ms and not held.facts.published then
    held.facts.published = true
    save_run(run, held)
  end
  return { 'recorded' }
end

-- Characters of the numbers of rejected submissions: the newest ones, for a call comes again at once or never.
local LONGEST_REJECTED = 64

-- The caller got an error: the run is not accepted. When that was the last submitter, and no worker has met the run, a
-- message that did arrive must not run it. A success that another caller got stays valid. Of a run that is not recorded a
-- tombstone stays, for its message may be in the queue.
function transitions.reject_run(run, first, accepted_ms, number, failure, ttl)
  local held = load_run(run)
  if not held then
    local facts = { accepted_ms = accepted_ms > 0 and accepted_ms or nil }
    end_run(run, { facts = facts, input = 'null' }, 'rejected', '', ttl)
    return { 'rejected' }
  end
  -- A repeat recorded the run; the submission that is rejected never was, or is rejected already.
  if accepted_ms > 0 and held.facts.accepted_ms ~= accepted_ms then return { 'kept' } end
  -- One whose reply was lost is rejected again: counted twice, it would end the run that a repeat was accepted for.
  if number > 0 then
    local rejected, one = held.facts.rejected or ' ', number .. ' '
    if string.find(rejected, ' ' .. one, 1, true) then return { 'kept' } end
    held.facts.rejected = string.sub(rejected .. one, -LONGEST_REJECTED)
  end
  held.facts.submitters = (held.facts.submitters or 1) - 1
  if held.facts.submitters > 0 or redis.call('EXISTS', job_key(run, first)) == 1 or held.state ~= 'queued' then
    save_run(run, held)
    return { 'kept' }
  end
  end_run(run, held, 'rejected', '', ttl + until_due(held))
  record_event(run, 'rejected', '', '', 0, '', failure)
  return { 'rejected' }
end

function transitions.progress(run, progress)
  if redis.call('EXISTS', run_key(run)) == 0 then return { 'unknown' } end
  redis.call('HSET', progress_key(run), 'progress', progress)
  redis.call('PEXPIRE', progress_key(run), math.max(redis.call('PTTL', run_key(run)), HOUR))
  notify(run, CHANGES)
  return { 'recorded' }
end
