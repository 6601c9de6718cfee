-- Takes, extends and frees locks, each together with its claim or decision.

-- The lock's fence, or nil and the run that holds it. A fence never falls, even when the lock was forgotten in between,
-- because it is never less than the clock.
local function take_lock(lock, job, run, lease, ttl)
  local holder, until_ms, last_fence, holder_run = read(lock_key(lock), 'job', 'until_ms', 'fence', 'run')
  if holder and holder ~= job and tonumber(until_ms) > now then return nil, holder_run end
  local fence = math.max(tonumber(last_fence or 0) + 1, now)
  redis.call('HSET', lock_key(lock), 'job', job, 'run', run, 'until_ms', now + lease, 'fence', fence)
  redis.call('PEXPIRE', lock_key(lock), ttl)
  return fence
end

local function holds_lock(job, lock) return redis.call('HGET', lock_key(lock), 'job') == job end

-- For as long as the claim that it belongs to.
local function keep_lock(job, lock, lease)
  if holds_lock(job, lock) then redis.call('HSET', lock_key(lock), 'until_ms', now + lease) end
end

local function free_lock(job, lock)
  redis.call('HDEL', job_key(job), 'lock')
  if holds_lock(job, lock) then redis.call('HDEL', lock_key(lock), 'job', 'run', 'until_ms') end
end

-- The job comes again later; its worker chooses the delay by how long it has waited so far.
local function wait_for_lock(job, run, stage, attempt, worker, holder, ttl)
  local since = redis.call('HGET', job_key(job), 'waiting_ms')
  if not since then
    since = now
    local reason = cjson.encode({ kind = 'LockHeld', text = 'waits for a lock that run ' .. holder .. ' holds' })
    record_event(run, 'waiting', stage, job, attempt, worker, reason)
  end
  -- The fence grows, so that a holder that lost the lock and still runs can decide nothing.
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HSET', job_key(job), 'state', 'waiting', 'attempt', attempt, 'waiting_ms', since)
  redis.call('PEXPIRE', job_key(job), ttl)
  change_run(run, ttl, 'state', 'queued')
  return { 'locked', holder, now - tonumber(since) }
end
