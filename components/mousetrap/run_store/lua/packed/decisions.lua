-- Records the outcomes of attempts: done, retry, wait out, give up, release.

-- Only the newest claim may decide, in a run that has not ended, and only while it holds its lock; a repeated decision under
-- one claim is the first one, sent again. Gives the reply to a decision that must not be made, else nil; and the job.
local function refusal(run, job, attempt, fence, worker, ttl)
  local held = load_job(run, job)
  if not held or held.fence ~= fence then
    note_alive(run, job, held, attempt, worker)
    return { 'stale' }
  end
  if held.state == 'waiting' then return { 'unlocked' } end
  if held.state ~= 'running' then return { 'recorded' }, held end
  local lock = held.facts.lock
  local lost = lock and not holds_lock(job, lock)
  if lock then free_lock(job, held) end
  local slot = held.facts.slot
  if slot then limits.free(run, job, held) end
  if STOPPED[run_state(run) or ''] then
    if lock or slot then save_job(run, job, held, ttl) end
    return { 'over' }
  end
  if lost then
    held.state, held.facts.starts, held.facts.beginners = 'waiting', 0, '|'
    save_job(run, job, held, ttl)
    return { 'unlocked' }
  end
  return nil, held
end

-- The output goes to the next stage, or is the run's result: then `following` is empty. With a `story` the job was given up, and
-- the run goes on all the same.
function transitions.done(job, run, attempt, fence, worker, verdict, following, story, keep, ttl)
  local refused, held = refusal(run, job, attempt, fence, worker, ttl)
  if refused then
    if held and held.state == 'done' and not held.verdict and #verdict <= keep then
      -- The next job's claim implied this decision, and had no verdict to record. A re-run may use it unless it is large.
      held.verdict = verdict
      save_job(run, job, held)
    end
    return again(refused, run, job, held, ttl)
  end
  local completes = following == '' and run_state(run)
  if completes then redis.call('SETRANGE', run_key(run), 0, RUN_BYTES.completed) end
  held.state, held.verdict, held.facts.decided_ms = 'done', verdict, now
  held.facts.next, held.facts.joins = following ~= '' and following or nil, joins or nil
  save_job(run, job, held, ttl)
  record_job_event(run, job, held, story == '' and 'finished' or 'gave_up', attempt, worker, story)
  note_late(run, job, held, attempt, worker)
  if completes then record_event(run, 'completed', '', '', 0, '', '') end
  if redis.call('PTTL', run_key(run)) < ttl then keep_run(run, ttl) end
  return again({ 'recorded' }, run, job, held, ttl)
end

function transitions.retry(job, run, attempt, fence, worker, verdict, story, delay, ttl)
  local refused, held = refusal(run, job, attempt, fence, worker, ttl)
  if refused then return refused end
  record_job_event(run, job, held, 'retrying', attempt, worker, story)
  held.state, held.verdict = 'retrying', verdict
  held.facts.attempt, held.facts.due_ms, held.facts.outage_ms = attempt + 1, now + delay, nil
  held.facts.decided_ms = now
  save_job(run, job, held, ttl + delay)
  keep_run(run, ttl + delay)
  return { 'recorded' }
end

-- A dependency of the handler is away: the same attempt is made again later. The timeline has one event for it, because an
-- outage can last for days. No outcome is kept: a repeated message of the job makes the attempt at once. This worker lives; those that
-- died of the attempt before still count.
function transitions.wait_out(job, run, attempt, fence, worker, story, delay, ttl)
  local refused, held = refusal(run, job, attempt, fence, worker, ttl)
  if refused then return refused end
  if not held.facts.outage_ms then
    record_job_event(run, job, held, 'retrying', attempt, worker, story)
    held.facts.outage_ms = now
  end
  take_back(held, worker)
  held.state, held.facts.decided_ms = 'outage', now
  save_job(run, job, held, ttl + delay)
  keep_run(run, ttl + delay)
  return { 'recorded' }
end

-- `story` is the failure with its traceback: the timeline alone keeps that.
local function record_death(run, owner, job, held, attempt, worker, verdict, failure, story, ttl)
  record_job_event(run, job, held, 'gave_up', attempt, worker, story)
  held.state, held.verdict, held.facts.decided_ms = 'dead', verdict, now
  save_job(run, job, held, ttl)
  if places then return again({ 'recorded' }, run, job, held, ttl, failure) end  -- the run may do without it
  if owner then end_run(run, owner, 'failed', failure, ttl) end
  record_event(run, 'failed', '', '', 0, '', '')
  return { 'recorded' }
end

function transitions.give_up(job, run, attempt, fence, worker, verdict, failure, story, ttl)
  local refused, held = refusal(run, job, attempt, fence, worker, ttl)
  if refused then return again(refused, run, job, held, ttl, failure) end
  return record_death(run, load_run(run), job, held, attempt, worker, verdict, failure, story, ttl)
end

-- The recorded outcome is not signed by us: the job is given up in its place, unless the record has changed since. A worker
-- that runs it at this time can decide nothing.
function transitions.distrust(job, run, attempt, worker, refused, verdict, failure, restore, ttl)
  local held = load_job(run, job)
  if not held or held.verdict ~= refused then return { 'stale' } end
  local state = run_state(run)
  if state and ENDED[state] and state ~= 'failed' then return { 'over' } end
  if not state then redis.call('SET', run_key(run), restore, 'PX', extended(ttl)) end
  held.caught_up = false  -- a job that follows from it may be claimed
  log_before(run, job, held)
  held.fence, held.facts.arrived = held.fence + 1, nil
  return record_death(run, load_run(run), job, held, attempt, worker, verdict, failure, failure, ttl)
end

-- A worker that stops hands an unfinished job back; that start does not count against the job.
function transitions.release(job, run, attempt, fence, worker, ttl)
  local refused, held = refusal(run, job, attempt, fence, worker, ttl)
  if refused then return refused end
  record_job_event(run, job, held, 'handed_back', attempt, worker, '')
  take_back(held, worker)
  held.facts.until_ms, held.facts.worker, held.facts.decided_ms = 0, '', now
  save_job(run, job, held, ttl)
  if held.facts.limited then limits.put_back(held.facts.limited, job .. ' ' .. run, ttl) end
  keep_run(run, ttl)
  return { 'recorded' }
end

-- A plain decision that the server cannot make by itself: the last stage's ends the run too, and a server without
-- SET … IFEQ cannot compare. 1 where it is recorded, 0 where it is for `done` to judge.
local function decide(keys, args)
  local job, run = keys[1], keys[2]
  local claim, record, ttl = args[1], args[2], args[3]
  if redis.call('GET', job) ~= claim then return 0 end
  if run and redis.call('GETRANGE', run, 0, 0) ~= RUN_BYTES.queued then return 0 end
  redis.call('SET', job, record, 'PX', ttl)
  if run then redis.call('SETRANGE', run, 0, RUN_BYTES.completed) end
  return 1
end
