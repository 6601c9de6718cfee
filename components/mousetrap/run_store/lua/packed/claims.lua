-- Gives jobs to workers: claim, begin, renew.

-- Whether the parent has the outcome that a message carries, sent under `fence`. A claim under the fence of a running
-- parent implies that parent's decision: it was made, and its record is still under way. An earlier fence's outcome is lost. A
-- later fence the store has granted and forgotten, as a replica can that takes over: to refuse that one's outcome would leave
-- the run without any message. A join that comes too early is to wait.
local function agrees_with_parent(run, parent, fence, stage, keep, ttl, is_open)
  local held = load_job(run, parent)
  if not held then return true end
  if held.fence > fence then return false end
  local too_early = is_open and awaits_fire(run, parent, held, ttl)
  if too_early then return false, too_early end
  local implied = held.fence < fence or (held.state == 'running' and not held.facts.lock)
  if implied and held.state ~= 'done' then
    log_before(run, parent, held)
    limits.free(run, parent, held)
    held.fence, held.verdict, held.facts.lock, held.facts.due_ms = fence, nil, nil, nil
    held.state, held.facts.decided_ms, held.facts.next, held.facts.arrived = 'done', now, stage, true
    record_job_event(run, parent, held, 'finished', held.facts.attempt or 1, held.facts.worker or '', '')
    save_job(run, parent, held, ttl)
    return true
  end
  -- Its output has arrived in the next queue; a re-run may still use it unless it is large.
  if held.state == 'done' and #(held.verdict or '') > keep then
    held.verdict, held.facts.arrived = nil, true
    save_job(run, parent, held)
  end
  return held.state == 'done'
end

-- Whether nothing is to begin: a fan around the job has gone on without it. One that is decided has what followed from that, and one
-- that is redriven is let through by its redrive.
local function comes_too_late(run, known, generation)
  local state, reached = known and known.state, known and known.facts.generation or 0
  if state == 'dead' or state == 'redriving' or (state == 'done' and not known.facts.again) then return false end
  return generation == reached and is_left_behind(run)
end

-- The reply where an outcome is on record, or the run has ended, or a later attempt is under way; else nil.
local function recorded_reply(held, attempt, state)
  if STOPPED[state] then return { 'over' } end
  if held.state == 'done' and not held.facts.again then
    -- The last stage's is the run's result: nothing follows from it.
    return { 'decided', held.facts.next and not held.facts.arrived and held.verdict or '', 0, held.fence }
  end
  if held.state == 'dead' then
    -- The message of the attempt that was given up stays until its letter is there; one of an attempt before would make a second.
    if (held.facts.attempt or 1) > attempt then return { 'over' } end
    return { 'decided', held.verdict or '', 0, held.fence }
  end
  -- Children go on while their run has failed for lack of others, and so does the job that opens them.
  if ENDED[state] and not places and not (state == 'failed' and held.facts.opens) then return { 'over' } end
  if held.facts.attempt <= attempt then return nil end
  if held.state ~= 'retrying' then return { 'over' } end
  return { 'decided', held.verdict or '', math.max(0, held.facts.due_ms - now), held.fence }
end

-- Redelivered means that the last holder's connection is gone; but a message can have copies. Before a job is given up for
-- killing its workers, these have the time of a claim to show that they live: from the first one that would give it up, for until then
-- the store can have been away.
local function held_by_another(run, job, held, worker, redelivered, crashes, lease)
  local facts = held.facts
  if facts.worker == worker then return false end
  local crash_limit_reached = facts.starts >= crashes
  if crash_limit_reached and facts.doubted ~= held.fence then
    facts.doubted, facts.until_ms = held.fence, now + lease
    save_job(run, job, held)
  end
  return (not redelivered or crash_limit_reached) and facts.until_ms > now
end

-- Claimed twice by one worker because the first reply was lost: a new fence would void the one in use.
local function grant_again(run, job, held, lease, ttl)
  held.facts.until_ms = now + lease
  if held.facts.limited then limits.renew(run, job, held, now + lease) end
  save_job(run, job, held, ttl)
  local lock = held.facts.lock
  if lock then keep_lock(job, lock, lease) end
  local lock_fence = lock and redis.call('HGET', lock_key(lock), 'fence') or 0
  local lined = held.facts.limited and limits.entry(held.facts.limited, job .. ' ' .. run) ~= nil
  return { 'granted', held.fence, held.facts.starts, held.facts.suspect or false, tonumber(lock_fence), '', 0, lined or false }
end

-- A message that is older than any run is kept, and of which nothing is known, may be a stored copy: whether it was done is
-- not known any more. An hour is left for clocks that step.
local function is_forgotten(accepted_ms, ttl) return now - accepted_ms > extended(ttl) + HOUR end

-- A job whose facts a plain command wrote lacks those of no value.
local function load_claimable(run, job, taken)
  local held = load_job(run, job)
  if held and held.record == taken then  -- by this very claim, which is judged only now
    redis.call('DEL', job_key(run, job))
    held = nil
  end
  if held then
    local facts = held.facts
    facts.attempt, facts.starts = facts.attempt or 1, facts.starts or 1
    facts.generation, facts.until_ms = facts.generation or 0, facts.until_ms or 0
  end
  return held
end

-- `taken` is what a plain command recorded of this claim, `restore` the record of a run that the store does not know, or not as
-- accepted: without it the reply to such a claim is `unopened`.
function transitions.claim(job, run, stage, attempt, parent, parent_fence, accepted_ms, generation, expires_ms, worker,
    redelivered, lock, waits, crashes, lease, keep, taken, restore, limited, ttl)
  local member = job .. ' ' .. run
  local function obsolete(reply)
    limits.drop(limited, member, attempt, generation)
    return reply or { 'over' }
  end
  local known = load_claimable(run, job, taken)
  local owner = load_run(run)
  local reopens = owner and accepted_since(owner, accepted_ms)
  if reopens then owner = nil end
  if not known and not owner and is_forgotten(accepted_ms, ttl) then return obsolete({ 'forgotten' }) end
  -- A plain claim that its worker did not live to take back leaves a record.
  if comes_too_late(run, known, generation) then return obsolete() end
  local is_open = not known or (known.state ~= 'done' and known.state ~= 'dead')
  if is_open and not STOPPED[owner and owner.state or ''] then
    local too_early = unopened(run, parent, ttl)
    if too_early then return too_early end
  end
  if not owner then
    if restore == '' then return { 'unopened' } end
    if reopens then redis.call('DEL', events_key(run), progress_key(run)) end
    redis.call('SET', run_key(run), restore, 'PX', extended(ttl))
    owner = load_run(run)
  end
  local held = known or new_job(stage)
  if is_outdated(run, parent, parent_fence, held) then
    local fence = held.fence
    held = new_job(stage)
    held.fence, held.facts.generation, held.caught_up = fence, generation, true
  end
  if generation < held.facts.generation then return obsolete() end
  if parent ~= '' and not is_child(parent) and not STOPPED[owner.state] then
    local agrees, too_early = agrees_with_parent(run, parent, parent_fence, stage, keep, ttl, is_open)
    if too_early then return too_early end
    if not agrees then return { 'over' } end  -- its place may be that of a message under a later fence
  end
  revive(run, owner, parent, held, ttl)
  -- The store has lost the redrive, as one can that syncs once a second.
  if generation > held.facts.generation then begin_generation(run, job, held, generation, ttl) end
  -- The process that redrove it may have died before it could record the publish.
  if held.state == 'redriving' then reopen_run(run, owner, job, held, stage, ttl) end

  -- Its children failed the run, and the store has forgotten that it opened them.
  if owner.state == 'failed' and redis.call('EXISTS', fan_key(run, job)) == 1 then held.facts.opens = true end
  send_dropped(run, owner, job, held)
  local recorded = recorded_reply(held, attempt, owner.state)
  if recorded and recorded[1] == 'over' then obsolete() end
  if recorded then return with_fans(recorded, run, job, held, owner, ttl) end
  local facts = held.facts
  facts.stage = stage
  local same_attempt = facts.attempt == attempt
  local running = held.state == 'running' and same_attempt
  if running and held_by_another(run, job, held, worker, redelivered, crashes, lease) then
    return { 'busy', facts.until_ms - now }
  end
  local mine = running and facts.worker == worker
  -- A message of a refused submission can expire before the run that a repeat was accepted for, and that of a child before its
  -- run was repaired, which has no time any more.
  local late = expires_ms > 0 and now >= expires_ms and is_late(owner)
  local full = not late and limits.refusing(limited, member, running)
  -- Another job can have its lock or its place by now: then they are asked for, as of a new claim.
  local has_all = not full and (lock == '' or (facts.lock == lock and holds_lock(job, lock)))
  if mine and not redelivered and not late and has_all then
    return grant_again(run, job, held, lease, ttl)
  end

  if late then
    local fan = owner.state == 'failed' and held.facts.opens and load_fan(run, job)
    if fan and can_send_again(fan, ttl) then return early(fan) end
    held.state, held.fence = held.state or 'waiting', held.fence + 1
    limits.free(run, job, held)
    save_job(run, job, held, ttl)
    obsolete()
    if ENDED[owner.state] then return { 'over' } end  -- as only a child's can have
    end_run(run, owner, 'expired', '', ttl)
    record_event(run, 'expired', stage, facts.fan or job, attempt, worker, '', facts.fan and job)
    return { 'over', 'expired' }
  end
  local is_high = (owner.facts.priority or DEFAULT_PRIORITY) > DEFAULT_PRIORITY
  if full then return limits.wait(run, job, held, attempt, generation, worker, full, limited, is_high, ttl) end
  local lock_fence, holder = 0, ''
  if lock ~= '' then
    lock_fence, holder = take_lock(lock, job, run, lease, ttl)
    if not lock_fence and waits then
      limits.step_aside(limited, member, now - (facts.waiting_ms or now), ttl)
      return wait_for_lock(run, job, held, attempt, worker, lock, holder, ttl)
    end
  end

  local resumes = UNDER_WAY[held.state] and same_attempt
  facts.beginners, facts.starts = resumes and beginners(held) or '|', resumes and facts.starts or 0
  local starts = mine and facts.starts or facts.starts + 1
  local suspect = starts > STARTS_BESIDE_OTHERS or (mine and facts.suspect or false)
  if not suspect then count_start(held, worker) end
  -- An attempt that waits for an outage to end is one attempt, however often it is made.
  local in_outage = held.state == 'outage'
  local away_ms = in_outage and now - facts.outage_ms or 0
  log_before(run, job, held)
  held.state, held.fence, held.verdict = 'running', held.fence + 1, nil
  facts.attempt, facts.worker, facts.until_ms, facts.claimed_ms = attempt, worker, now + lease, now
  facts.suspect, facts.waiting_ms, facts.due_ms, facts.again, facts.needs = suspect or nil, nil, nil, nil, nil
  if lock_fence and lock ~= '' then facts.lock = lock end
  local lined = #limited > 0 and limits.enter(limited, member, held, now + lease, running, ttl)
  save_job(run, job, held, ttl)
  if redis.call('PTTL', run_key(run)) < ttl then keep_run(run, ttl) end
  if not suspect and not in_outage and not facts.fan then
    record_event(run, 'started', stage, job, attempt, worker, '')
  end
  return { 'granted', held.fence, facts.starts, suspect, lock_fence or 0, lock_fence and '' or holder, away_ms, lined }
end

-- A suspect starts, alone in its worker: if the worker dies from here on, the job is the cause.
function transitions.begin(job, run, stage, attempt, fence, worker, ttl)
  local held = load_job(run, job)
  if not held or held.fence ~= fence then return { 'stale', 0 } end
  if held.facts.begun == fence then return { 'begun', held.facts.starts } end
  count_start(held, worker)
  held.facts.begun = fence
  save_job(run, job, held, ttl)
  if not held.facts.fan then record_event(run, 'started', stage, job, attempt, worker, '') end
  return { 'begun', held.facts.starts }
end

-- A worker that lost a job lives, and does not run it. No claim shows that: it can come late, from a worker that died meanwhile.
function transitions.survived(job, run, attempt, worker)
  note_alive(run, job, load_job(run, job), attempt, worker)
  return { 'recorded' }
end

-- A value that a handler yielded is an event, and changes no state. Only the newest claim may add one, and each number once,
-- for a call whose reply was lost comes again. Beyond what a run keeps, one event notes that values are missing.
function transitions.yield_value(job, run, stage, attempt, fence, worker, number, value)
  local held = load_job(run, job)
  if not held then return { 'unknown' } end
  if held.fence ~= fence or held.state ~= 'running' then return { 'stale' } end
  if held.facts.yield_fence == fence and number <= held.facts.yields then return { 'recorded' } end
  local state = run_state(run)
  if not state or ENDED[state] then return { 'over' } end
  local progress = progress_key(run)
  local values, bytes = read(progress, 'yields', 'yield_bytes')
  if tonumber(values or 0) >= MOST_VALUES or tonumber(bytes or 0) + #value > MOST_VALUE_BYTES then
    if redis.call('HSETNX', progress, 'truncated', 1) == 1 then
      record_job_event(run, job, held, 'truncated', attempt, worker, '')
      save_job(run, job, held)
    end
    return { 'full' }
  end
  record_job_event(run, job, held, 'yielded', attempt, worker, value)
  held.facts.yield_fence, held.facts.yields = fence, number
  save_job(run, job, held)
  redis.call('HINCRBY', progress, 'yields', 1)
  redis.call('HINCRBY', progress, 'yield_bytes', #value)
  redis.call('PEXPIRE', progress, math.max(redis.call('PTTL', run_key(run)), HOUR))
  return { 'recorded' }
end

-- Returns `lost` only if a later claim exists. A decided job still belongs to its holder, who must act on the outcome.
function transitions.renew(job, run, fence, lease, ttl)
  local held = load_job(run, job)
  if not held or held.fence ~= fence then return { 'lost' } end
  if held.state == 'running' then
    local lock = held.facts.lock
    if lock then keep_lock(job, lock, lease) end
    held.facts.until_ms, held.facts.doubted = now + lease, nil
    save_job(run, job, held, ttl)
  end
  if held.facts.limited then limits.renew(run, job, held, now + lease) end
  keep_run(run, ttl)
  return { 'renewed' }
end
