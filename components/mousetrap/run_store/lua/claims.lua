-- Gives jobs to workers: claim, begin, renew, release.

local function read_job(job)
  local state, attempt, worker, until_ms, starts, verdict, due_ms, arrived, lock, fence, suspect, generation, waiting_ms, doubted =
    read(job_key(job), 'state', 'attempt', 'worker', 'until_ms', 'starts', 'verdict', 'due_ms', 'arrived', 'lock',
      'fence', 'suspect', 'generation', 'waiting_ms', 'doubted')
  return { state = state, attempt = attempt, worker = worker, until_ms = until_ms, starts = starts, verdict = verdict,
    due_ms = due_ms, arrived = arrived, lock = lock, fence = fence, suspect = suspect, generation = generation,
    waiting_ms = waiting_ms, doubted = doubted }
end

-- A parent's output has arrived in the next queue, so it need not be published again; a re-run may still use it.
local function note_arrival(parent, keep)
  local size = redis.call('HSTRLEN', job_key(parent), 'verdict')
  if size > keep then
    redis.call('HDEL', job_key(parent), 'verdict')
  elseif size > 0 then
    redis.call('HSET', job_key(parent), 'arrived', 1)
  end
end

-- The reply where an outcome is on record, or the run has ended, or a later attempt is under way; else nil.
local function recorded_reply(held, attempt, run_state)
  if run_state and STOPPED[run_state] then return { 'over' } end
  if held.state == 'done' or held.state == 'dead' then
    return { 'decided', not held.arrived and held.verdict or '', 0 }
  end
  if run_state and ENDED[run_state] then return { 'over' } end
  if tonumber(held.attempt or 0) <= attempt then return nil end
  if held.state ~= 'retrying' then return { 'over' } end
  return { 'decided', held.verdict or '', math.max(0, tonumber(held.due_ms) - now) }
end

-- Redelivered means that the last holder's connection is gone; but a message can have copies. Before a job is given up for
-- killing its workers, these have the time of a claim to show that they live: from the first one that would give it up, for until then
-- the store can have been away.
local function held_by_another(job, held, worker, redelivered, crashes, lease)
  if held.worker == worker then return false end
  local crash_limit_reached = tonumber(held.starts) >= crashes
  if crash_limit_reached and held.doubted ~= held.fence then
    held.until_ms = now + lease
    redis.call('HSET', job_key(job), 'doubted', held.fence, 'until_ms', held.until_ms)
  end
  return (not redelivered or crash_limit_reached) and tonumber(held.until_ms) > now
end

-- Claimed twice by one worker because the first reply was lost: a new fence would void the one in use.
local function grant_again(job, held, lock, lease)
  redis.call('HSET', job_key(job), 'until_ms', now + lease)
  if held.lock then keep_lock(job, held.lock, lease) end
  local lock_fence = held.lock and redis.call('HGET', lock_key(lock), 'fence') or 0
  return { 'granted', tonumber(held.fence), tonumber(held.starts), held.suspect == '1', tonumber(lock_fence), '' }
end

-- A message that is older than any run is kept, and of which nothing is known, may be a stored copy: whether it was done is
-- not known any more. An hour is left for clocks that step.
local function is_forgotten(held, run, accepted_ms, ttl)
  return not held.state and now - accepted_ms > extended(ttl) + HOUR and redis.call('EXISTS', run_key(run)) == 0
end

function transitions.claim(job, run, pipeline, stage, attempt, parent, accepted_ms, generation, expires_ms, worker,
    redelivered, lock, waits, crashes, lease, keep, ttl)
  local held = read_job(job)
  if is_forgotten(held, run, accepted_ms, ttl) then return { 'forgotten' } end
  local reached = tonumber(held.generation or 0)
  if generation < reached then return { 'over' } end
  if generation > reached then
    -- The store has lost the redrive, as one can that syncs once a second.
    begin_generation(job, generation, 'redriving', ttl)
    held = read_job(job)
  end
  -- The process that redrove it may have died before it could record the publish.
  if held.state == 'redriving' then reopen_run(run, pipeline, stage, job, accepted_ms, ttl) end

  local run_state, kept_ms, due_ms = read(run_key(run), 'state', 'kept_ms', 'due_ms')
  local recorded = recorded_reply(held, attempt, run_state)
  if recorded then return recorded end
  local same_attempt = tonumber(held.attempt or 0) == attempt
  local running = held.state == 'running' and same_attempt
  if running and held_by_another(job, held, worker, redelivered, crashes, lease) then
    return { 'busy', tonumber(held.until_ms) - now }
  end
  local mine = running and held.worker == worker
  local late = expires_ms > 0 and now >= expires_ms
  -- Another job can have its lock by now: then it is asked for, as of a new claim.
  if mine and not redelivered and not late and (lock == '' or (held.lock == lock and holds_lock(job, lock))) then
    return grant_again(job, held, lock, lease)
  end

  if not run_state then
    restore_run(run, pipeline, stage, accepted_ms, expires_ms, ttl)
    kept_ms = now
  end
  if parent == '' then redis.call('ZREM', due_ms and DELAYED_OPENINGS or OPENINGS, run) else note_arrival(parent, keep) end
  if late then
    redis.call('HINCRBY', job_key(job), 'fence', 1)
    redis.call('PEXPIRE', job_key(job), ttl)
    return expire_run(run, stage, job, attempt, worker, ttl)
  end
  local lock_fence, holder = 0, ''
  if lock ~= '' then
    lock_fence, holder = take_lock(lock, job, run, lease, ttl)
    if not lock_fence and waits then return wait_for_lock(job, run, stage, attempt, worker, holder, ttl) end
  end

  local before, list = 0, '|'
  if UNDER_WAY[held.state] and same_attempt then before, list = beginners(job) end
  local suspect = (mine and before or before + 1) > STARTS_BESIDE_OTHERS or (mine and held.suspect == '1')
  local starts = before
  if not suspect then starts, list = with_start(before, list, worker) end
  local fence = tonumber(held.fence or 0) + 1
  redis.call('HSET', job_key(job), 'state', 'running', 'attempt', attempt, 'worker', worker, 'until_ms', now + lease,
    'starts', starts, 'beginners', list, 'suspect', suspect and 1 or 0, 'fence', fence)
  if held.verdict or held.waiting_ms then redis.call('HDEL', job_key(job), 'verdict', 'waiting_ms') end
  if lock_fence and lock ~= '' then redis.call('HSET', job_key(job), 'lock', lock) end
  redis.call('PEXPIRE', job_key(job), ttl)
  change_run(run, due_extension(kept_ms, ttl), 'state', 'running', 'stage', stage)
  -- An attempt that waits for an outage to end is one attempt, however often it is made.
  local in_outage = held.state == 'outage'
  local away_ms = in_outage and now - tonumber(redis.call('HGET', job_key(job), 'outage_ms')) or 0
  if not suspect and not in_outage then record_event(run, 'started', stage, job, attempt, worker, '') end
  return { 'granted', fence, starts, suspect, lock_fence or 0, lock_fence and '' or holder, away_ms }
end

-- A suspect starts, alone in its worker: if the worker dies from here on, the job is the cause.
function transitions.begin(job, run, stage, attempt, fence, worker, ttl)
  local newest_fence, begun, starts = read(job_key(job), 'fence', 'begun', 'starts')
  if tonumber(newest_fence or 0) ~= fence then return { 'stale', 0 } end
  if tonumber(begun or 0) == fence then return { 'begun', tonumber(starts) } end
  local list
  starts, list = beginners(job)
  starts, list = with_start(starts, list, worker)
  redis.call('HSET', job_key(job), 'begun', fence, 'starts', starts, 'beginners', list)
  record_event(run, 'started', stage, job, attempt, worker, '')
  return { 'begun', starts }
end

-- A worker that lost a job lives, and does not run it. No claim shows that: it can come late, from a worker that died meanwhile.
function transitions.survived(job, run, attempt, worker)
  note_alive(job, attempt, worker)
  return { 'recorded' }
end

-- A value that a handler yielded is an event, and changes no state. Only the newest claim may add one, and each number once,
-- for a call whose reply was lost comes again. Beyond what a run keeps, one event notes that values are missing.
function transitions.yield_value(job, run, stage, attempt, fence, worker, number, value)
  local newest_fence, state, under, reached = read(job_key(job), 'fence', 'state', 'yield_fence', 'yields')
  if tonumber(newest_fence or 0) ~= fence or state ~= 'running' then return { 'stale' } end
  if tonumber(under or 0) == fence and number <= tonumber(reached) then return { 'recorded' } end
  local run_state, values, bytes = read(run_key(run), 'state', 'yields', 'yield_bytes')
  if not run_state or ENDED[run_state] then return { 'over' } end
  if tonumber(values or 0) >= MOST_VALUES or tonumber(bytes or 0) + #value > MOST_VALUE_BYTES then
    if redis.call('HSETNX', run_key(run), 'truncated', 1) == 1 then
      record_event(run, 'truncated', stage, job, attempt, worker, '')
    end
    return { 'full' }
  end
  record_event(run, 'yielded', stage, job, attempt, worker, value)
  redis.call('HSET', job_key(job), 'yield_fence', fence, 'yields', number)
  redis.call('HINCRBY', run_key(run), 'yields', 1)
  redis.call('HINCRBY', run_key(run), 'yield_bytes', #value)
  return { 'recorded' }
end

-- Returns `lost` only if a later claim exists. A decided job still belongs to its holder, who must act on the outcome.
function transitions.renew(job, run, fence, lease, ttl)
  local newest_fence, state, lock, doubted = read(job_key(job), 'fence', 'state', 'lock', 'doubted')
  if tonumber(newest_fence or 0) ~= fence then return { 'lost' } end
  if state == 'running' then
    if lock then keep_lock(job, lock, lease) end
    redis.call('HSET', job_key(job), 'until_ms', now + lease)
    if doubted then redis.call('HDEL', job_key(job), 'doubted') end
  end
  redis.call('PEXPIRE', job_key(job), ttl)
  keep_run(run, ttl)
  return { 'renewed' }
end
