-- Records the outcomes of attempts: done, retry, wait out, give up, release.

-- Only the newest claim may decide, in a run that has not ended, and only while it holds its lock; a repeated decision under
-- one claim is the first one, sent again. Gives the reply to a decision that must not be made, else nil and the run's fields.
local function refusal(job, run, attempt, fence, worker)
  local newest_fence, state, lock = read(job_key(job), 'fence', 'state', 'lock')
  if tonumber(newest_fence or 0) ~= fence then
    note_alive(job, attempt, worker)
    return { 'stale' }
  end
  if state == 'waiting' then return { 'unlocked' } end
  if state ~= 'running' then return { 'recorded' } end
  local run_state, kept_ms, pipeline, accepted_ms = read(run_key(run), 'state', 'kept_ms', 'pipeline', 'accepted_ms')
  if STOPPED[run_state or ''] then
    if lock then free_lock(job, lock) end
    return { 'over' }
  end
  if lock and not holds_lock(job, lock) then
    redis.call('HSET', job_key(job), 'state', 'waiting', 'starts', 0, 'beginners', '|')
    redis.call('HDEL', job_key(job), 'lock')
    return { 'unlocked' }
  end
  if lock then free_lock(job, lock) end
  return nil, kept_ms, pipeline, accepted_ms
end

-- The output goes to the next stage: it is kept until that stage's job has been claimed.
function transitions.done(job, run, stage, attempt, fence, worker, verdict, ttl)
  local refused, kept_ms = refusal(job, run, attempt, fence, worker)
  if refused then return refused end
  redis.call('HSET', job_key(job), 'state', 'done', 'verdict', verdict)
  change_run(run, due_extension(kept_ms, ttl), 'state', 'queued')
  record_event(run, 'finished', stage, job, attempt, worker, '')
  return { 'recorded' }
end

-- The output is the run's result.
function transitions.complete(job, run, stage, attempt, fence, worker, result, result_reference, ttl)
  local refused, kept_ms, pipeline, accepted_ms = refusal(job, run, attempt, fence, worker)
  if refused then return refused end
  redis.call('HSET', job_key(job), 'state', 'done')
  change_run(run, due_extension(kept_ms, ttl), 'state', 'completed', 'result', result, 'finished_ms', now)
  if result_reference ~= '' then redis.call('HSET', run_key(run), 'result_reference', result_reference) end
  record_event(run, 'finished', stage, job, attempt, worker, '')
  record_event(run, 'completed', '', '', 0, '', '')
  if pipeline then note_latest(run, pipeline, accepted_ms, ttl) end
  return { 'recorded' }
end

function transitions.retry(job, run, stage, attempt, fence, worker, verdict, story, delay, ttl)
  local refused = refusal(job, run, attempt, fence, worker)
  if refused then return refused end
  redis.call('HSET', job_key(job), 'state', 'retrying', 'attempt', attempt + 1, 'verdict', verdict,
    'due_ms', now + delay)
  redis.call('PEXPIRE', job_key(job), ttl + delay)
  change_run(run, ttl + delay, 'state', 'retrying')
  redis.call('HDEL', job_key(job), 'outage_ms')
  record_event(run, 'retrying', stage, job, attempt, worker, story)
  return { 'recorded' }
end

-- A dependency of the handler is away: the same attempt is made again later. The timeline has one event for it, because an
-- outage can last for days. No outcome is kept: a repeated message of the job makes the attempt at once. This worker lives; those that
-- died of the attempt before still count.
function transitions.wait_out(job, run, stage, attempt, fence, worker, story, delay, ttl)
  local refused = refusal(job, run, attempt, fence, worker)
  if refused then return refused end
  local since = redis.call('HGET', job_key(job), 'outage_ms')
  take_back(job, worker)
  redis.call('HSET', job_key(job), 'state', 'outage', 'outage_ms', since or now)
  redis.call('PEXPIRE', job_key(job), ttl + delay)
  change_run(run, ttl + delay, 'state', 'retrying')
  if not since then record_event(run, 'retrying', stage, job, attempt, worker, story) end
  return { 'recorded' }
end

-- `story` is the failure with its traceback: the timeline alone keeps that.
local function record_death(job, run, stage, attempt, worker, verdict, failure, story, ttl)
  redis.call('HSET', job_key(job), 'state', 'dead', 'verdict', verdict)
  redis.call('PEXPIRE', job_key(job), ttl)
  change_run(run, ttl, 'state', 'failed', 'failure', failure, 'finished_ms', now)
  record_event(run, 'gave_up', stage, job, attempt, worker, story)
  record_event(run, 'failed', '', '', 0, '', '')
  return { 'recorded' }
end

function transitions.give_up(job, run, stage, attempt, fence, worker, verdict, failure, story, ttl)
  local refused = refusal(job, run, attempt, fence, worker)
  if refused then return refused end
  return record_death(job, run, stage, attempt, worker, verdict, failure, story, ttl)
end

-- The recorded outcome is not signed by us: the job is given up in its place, unless the record has changed since. A worker
-- that runs it at this time can decide nothing.
function transitions.distrust(job, run, pipeline, stage, attempt, accepted_ms, worker, refused, verdict, failure, ttl)
  if redis.call('HGET', job_key(job), 'verdict') ~= refused then return { 'stale' } end
  local state = redis.call('HGET', run_key(run), 'state')
  if state and ENDED[state] and state ~= 'failed' then return { 'over' } end
  if not state then restore_run(run, pipeline, stage, accepted_ms, 0, ttl) end
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HDEL', job_key(job), 'arrived')
  return record_death(job, run, stage, attempt, worker, verdict, failure, failure, ttl)
end

-- A worker that stops hands an unfinished job back; that start does not count against the job.
function transitions.release(job, run, stage, attempt, fence, worker, ttl)
  local refused = refusal(job, run, attempt, fence, worker)
  if refused then return refused end
  take_back(job, worker)
  redis.call('HSET', job_key(job), 'until_ms', 0, 'worker', '')
  change_run(run, ttl, 'state', 'queued')
  record_event(run, 'handed_back', stage, job, attempt, worker, '')
  return { 'recorded' }
end
