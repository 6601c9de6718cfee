-- Sends dead jobs through their queue again.

-- Records of an earlier generation no longer count, and a late worker of one can decide nothing.
local function begin_generation(job, generation, state, ttl)
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HDEL', job_key(job), 'verdict', 'due_ms', 'waiting_ms', 'arrived', 'worker', 'until_ms', 'begun',
    'outage_ms', 'doubted')
  redis.call('HSET', job_key(job), 'state', state, 'generation', generation, 'attempt', 0, 'starts', 0, 'beginners', '|')
  redis.call('PEXPIRE', job_key(job), ttl)
end

-- A run continues because its dead job is in its queue again: once for each generation, and not if the run has ended
-- otherwise since.
local function reopen_run(run, pipeline, stage, job, accepted_ms, ttl)
  redis.call('HSET', job_key(job), 'state', 'redriven')
  local state = redis.call('HGET', run_key(run), 'state')
  if state and ENDED[state] and state ~= 'failed' then return end
  if not state then restore_run(run, pipeline, stage, accepted_ms, 0, ttl) end
  redis.call('HDEL', run_key(run), 'finished_ms', 'failure', 'expires_ms')
  change_run(run, ttl, 'state', 'queued', 'stage', stage)
  record_event(run, 'redriven', stage, job, 0, '', '')
end

-- A dead letter is redriven once for each time that its job died; a letter of an older generation is stale. A job that the
-- broker itself put aside was never decided: it is redriven unless a worker has it now. Until the job is in its queue, the
-- letter is all there is, and the run stays failed.
function transitions.redrive(job, run, generation, ttl)
  local state, known_generation, until_ms, redriven_ms =
    read(job_key(job), 'state', 'generation', 'until_ms', 'redriven_ms')
  local reached = tonumber(known_generation or 0)
  if (state == 'redriving' or state == 'redriven') and reached == generation + 1 then
    return { 'redriven', tonumber(redriven_ms or now) }
  end
  local stopped = STOPPED[redis.call('HGET', run_key(run), 'state') or '']
  if reached > generation or state == 'done' or stopped then return { 'stale', 0 } end
  if state == 'running' and tonumber(until_ms) > now then return { 'busy', 0 } end
  begin_generation(job, generation + 1, 'redriving', ttl)
  redis.call('HSET', job_key(job), 'redriven_ms', now)
  return { 'redriven', now }
end

function transitions.redriven(job, run, pipeline, stage, accepted_ms, generation, ttl)
  local state, reached = read(job_key(job), 'state', 'generation')
  if state == 'redriving' and tonumber(reached) == generation then
    reopen_run(run, pipeline, stage, job, accepted_ms, ttl)
  end
  return { 'recorded' }
end
