-- Cancels runs, and sends dead jobs through their queue again.

-- Ends a run from outside. Workers that run a job of it learn it by its state; waiting jobs at their claim. One that has failed has
-- not ended while children of it go on.
function transitions.cancel_run(run, failure, ttl)
  local held = load_run(run)
  -- A tombstone is no run.
  if not held or not held.facts.pipeline then return { 'unknown' } end
  if ENDED[held.state] and not (held.state == 'failed' and is_at_work(run, held)) then return { held.state } end
  -- A decision that comes by a plain command from now on meets another record than it compares: no outcome follows.
  log_records(run)
  end_run(run, held, 'cancelled', failure, ttl + until_due(held))
  record_event(run, 'cancelled', '', '', 0, '', failure)
  return { 'cancelled' }
end

-- Records of an earlier generation no longer count, and a late worker of one can decide nothing.
local function begin_generation(run, job, held, generation, ttl)
  log_before(run, job, held)
  open_again(run, job, held)
  held.state, held.fence, held.verdict = 'redriving', held.fence + 1, nil
  held.facts = { stage = held.facts.stage, generation = generation, attempt = 0, starts = 0, fan = held.facts.fan,
    opens = held.facts.opens }
  save_job(run, job, held, ttl)
end

-- A run continues because its dead job is in its queue again: once for each generation, and not if the run has ended
-- otherwise since. `owner` is the run as it is loaded. Of a job in fans, it goes on if what is lost beside it can be missed; and
-- after its time only if what was dropped then can be sent again.
local function reopen_run(run, owner, job, held, stage, ttl)
  held.state, held.facts.reopened, held.facts.stage, held.facts.decided_ms = 'redriven', true, stage, now
  save_job(run, job, held, ttl)
  local late = is_late(owner)
  local is_whole = not late or are_senders_kept(run, ttl)
  local goes_on = not places or reopen_places(run, job)
  if goes_on == 'late' then return record_job_event(run, job, held, 'late', 0, '', '') end
  if ENDED[owner.state] and owner.state ~= 'failed' then return end
  if goes_on and is_whole then
    if late then owner.facts.late_until_ms = now end
    if owner.state == 'failed' then owner.facts.repaired_ms = now end
    owner.state, owner.facts.finished_ms, owner.facts.failure, owner.facts.expires_ms = 'queued', nil, nil, nil
    save_run(run, owner, ttl)
  end
  record_job_event(run, job, held, 'redriven', 0, '', '')
end

-- A dead letter is redriven once for each time that its job died; a letter of an older generation is stale. A job that the
-- broker itself put aside was never decided: it is redriven unless a worker has it now. Until the job is in its queue, the
-- letter is all there is, and the run stays failed.
function transitions.redrive(job, run, accepted_ms, generation, ttl)
  local held = load_job(run, job) or new_job('')
  local reached = held.facts.generation or 0
  if (held.state == 'redriving' or held.state == 'redriven') and reached == generation + 1 then
    return { 'redriven', held.facts.redriven_ms or now }
  end
  local state = run_state(run) or ''
  local stopped = STOPPED[state] and not (state == 'rejected' and accepted_since(load_run(run), accepted_ms))
  if reached > generation or stopped then return { 'stale', 0 } end
  -- One that waits for children was given up, and the store has forgotten that.
  if held.state == 'done' and not waited(run, job, held, { state = 'queued', facts = {} }, ttl) then return { 'stale', 0 } end
  if held.state == 'running' and (held.facts.until_ms or 0) > now then return { 'busy', 0 } end
  begin_generation(run, job, held, generation + 1, ttl)
  held.facts.redriven_ms = now
  save_job(run, job, held, ttl)
  return { 'redriven', now }
end

-- `restore` is the record of a run that the store has lost.
function transitions.redriven(job, run, stage, generation, restore, ttl)
  local held = load_job(run, job)
  if held and held.state == 'redriving' and held.facts.generation == generation then
    if not run_state(run) then redis.call('SET', run_key(run), restore, 'PX', extended(ttl)) end
    reopen_run(run, load_run(run), job, held, stage, ttl)
  end
  return { 'recorded' }
end
