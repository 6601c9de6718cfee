-- Writes the timelines of packed runs.
--
-- The usual events are not written: they follow from the records. Before anything else of a run is written, its stream gets all
-- that follows so far, and those jobs have `logged`. So the stream is always the beginning of the timeline, and what follows
-- from the jobs without `logged` is the rest. run_store/packed/timeline.py gives that rest the ids that it gets here.

local function notify(run, channel) redis.call('PUBLISH', channel, run) end

-- The newest first.
local function last_events(run, count) return redis.call('XREVRANGE', events_key(run), '+', '-', 'COUNT', count) end

-- An entry's id is its time, unless one of a later time is there: clocks of workers differ. Then `at` has its time. `child` is the
-- job that the event is about, where `job` stands for it.
local function add_event(run, at, kind, stage, job, attempt, worker, data, child)
  local function add(id, ...)
    redis.call('XADD', events_key(run), 'MAXLEN', '~', MOST_EVENTS, id, 'kind', kind, 'stage', stage, 'job', job,
      'attempt', attempt, 'worker', worker, 'data', data, ...)
  end
  local more = child and { 'child', child } or {}
  local added, why = pcall(add, string.format('%d-*', at), unpack(more))
  if added then return end
  local last = last_events(run, 1)[1]
  if not last then error(why, 0) end
  add(string.match(last[1], '^%d+') .. '-*', 'at', at, unpack(more))
end

-- A stream begins with when the run was accepted, and lives as long as its record.
local function record_event_at(run, at, ...)
  local life = redis.call('PTTL', events_key(run))
  local owner = life == -2 and load_run(run)
  if owner then add_event(run, owner.facts.accepted_ms or 0, 'accepted', owner.facts.stage or '', '', 0, '', '') end
  add_event(run, at, ...)
  if life < 0 then redis.call('PEXPIRE', events_key(run), math.max(redis.call('PTTL', run_key(run)), HOUR)) end
end

local function record_event(run, kind, ...)
  record_event_at(run, now, kind, ...)
  notify(run, ENDED[kind] and ENDS or CHANGES)
end

-- What plain commands recorded of a job.
local function log_job(run, job, before)
  local function add(at, kind)
    record_event_at(run, at or now, kind, before.stage or '', job, before.attempt, before.worker or '', '')
  end
  add(before.claimed_ms, 'started')
  if before.state ~= 'done' then return end
  add(before.decided_ms, 'finished')
  if not before.next then record_event_at(run, before.decided_ms or now, 'completed', '', '', 0, '', '') end
end

-- The job of the newest event that has one; else the run's first.
local function last_job(run)
  for _, entry in ipairs(last_events(run, 3)) do  -- at most two in a row are of the run alone
    local job = entry[2][6]
    if job and job ~= '' then return job end
  end
  local owner = load_run(run)
  return owner and job_id(run, owner.facts.stage or '', '')
end

-- Writes all that follows from the records. Whether `wanted` was among those jobs.
local function log_records(run, wanted)
  local job, met = last_job(run), false
  while job do
    local readable, held = pcall(load_job, run, job)
    if not readable or not held then break end
    met = met or job == wanted
    if held.before then
      log_job(run, job, held.before)
      held.facts.logged = true
      write_job(run, job, held)
    end
    job = held.state == 'done' and held.facts.next and job_id(run, held.facts.next, job)
  end
  return met
end

-- What was recorded before comes into the timeline before anything of this job does. Children are not in it.
local function log_before(run, job, held)
  if held.caught_up or held.facts.fan then return end
  held.caught_up = true
  local before = held.before
  held.before = nil
  if not log_records(run, job) and before then log_job(run, job, before) end
end

-- All events of a job that is saved here are in the timeline.
local function save_job(run, job, held, ttl)
  log_before(run, job, held)
  held.facts.logged = true
  write_job(run, job, held, ttl)
end

-- What a timeline has of children: what they yielded, the first that were given up, and what an operator did.
local OF_CHILDREN = { yielded = true, truncated = true, gave_up = true, redriven = true, late = true }

-- It is written as an event of the job whose children the outermost fan has, for that one is in the row of jobs that the timeline
-- follows.
local function record_child_event(run, job, held, kind, attempt, worker, data)
  local fan = held.facts.fan
  if not OF_CHILDREN[kind] then return end
  if kind == 'gave_up' and redis.call('EXISTS', fan_key(run, fan)) == 1
    and redis.call('HINCRBY', fan_key(run, fan), 'noted', 1) > MOST_LOST then return end
  log_records(run)
  record_event(run, kind, held.facts.stage or '', fan, attempt, worker, data, job)
end

local function record_job_event(run, job, held, kind, attempt, worker, data)
  if held.facts.fan then return record_child_event(run, job, held, kind, attempt, worker, data) end
  log_before(run, job, held)
  record_event(run, kind, held.facts.stage or '', job, attempt, worker, data)
end
