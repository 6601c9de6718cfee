-- Opens, ends and lists runs, and writes their timelines.

local transitions = {}

local function notify(run, channel)
  if subscribers[channel] > 0 then redis.call('PUBLISH', channel, run) end
end

local function add_event(run, id, kind, stage, job, attempt, worker, data)
  redis.call('XADD', events_key(run), 'MAXLEN', '~', MOST_EVENTS, id, 'kind', kind, 'stage', stage, 'job', job,
    'attempt', attempt, 'worker', worker, 'data', data)
end

-- An entry's id is its time: the server's own, unless our clock is ahead of it. For an id that is not greater than the last
-- one the server makes a greater one.
local function record_event(run, kind, ...)
  if ahead_ms < 1 or not pcall(add_event, run, string.format('%d-*', now), kind, ...) then add_event(run, '*', kind, ...) end
  notify(run, ENDED[kind] and ENDS or CHANGES)
end

local function keep_run(run, ttl)
  redis.call('PEXPIRE', run_key(run), extended(ttl))
  redis.call('PEXPIRE', events_key(run), extended(ttl))
  redis.call('PEXPIRE', payloads_key(run), extended(ttl))
end

local function add_to_index(index, member, ttl, delay)
  redis.call('ZADD', index, 0, member)
  if redis.call('ZCARD', index) == 1 then
    redis.call('PEXPIRE', index, ttl + delay + 2 * DAY)
  elseif delay > 0 then
    redis.call('PEXPIRE', index, ttl + delay + 2 * DAY, 'GT')
  end
end

local function write_run(run, pipeline, stage, input, digest, accepted_ms, expires_ms, rerun_of, ttl, delay)
  redis.call('HSET', run_key(run), 'pipeline', pipeline, 'state', 'queued', 'stage', stage, 'first', stage, 'input', input,
    'digest', digest, 'accepted_ms', accepted_ms, 'updated_ms', accepted_ms, 'expires_ms', expires_ms,
    'rerun_of', rerun_of, 'submitters', 1, 'kept_ms', now)
  record_event(run, 'accepted', stage, '', 0, '', '')
  keep_run(run, ttl + delay)
  local member, day = string.format('%013d:%s', accepted_ms, run), math.floor(accepted_ms / DAY)
  add_to_index('mousetrap:runs:' .. day, member, ttl, delay)
  add_to_index('mousetrap:runs:' .. pipeline .. ':' .. day, member, ttl, delay)
end

-- A run of which the store knows nothing, though a job of it is here: the store lost it, or syncs once a second.
local function restore_run(run, pipeline, stage, accepted_ms, expires_ms, ttl)
  write_run(run, pipeline, stage, 'null', '', accepted_ms, expires_ms, '', ttl, 0)
end

-- Lists of runs look back for as long as the longest delay of a run that is kept.
local function note_delay(run, delay, ttl)
  redis.call('HSET', run_key(run), 'due_ms', now + delay)
  if delay > tonumber(redis.call('GET', LONGEST_DELAY) or 0) then
    redis.call('SET', LONGEST_DELAY, delay, 'PX', ttl + delay + 2 * DAY)
  else
    redis.call('PEXPIRE', LONGEST_DELAY, ttl + delay + 2 * DAY, 'GT')
  end
end

-- Until its first job is due, the run is kept so that the claim of that job finds how it ended.
local function until_due(run)
  return math.max(0, (tonumber(redis.call('HGET', run_key(run), 'due_ms') or 0) or 0) - now)
end

-- With `ttl` the run is kept for that long from now.
local function change_run(run, ttl, ...)
  if ttl then
    redis.call('HSET', run_key(run), 'updated_ms', now, 'kept_ms', now, ...)
    keep_run(run, ttl)
  else
    redis.call('HSET', run_key(run), 'updated_ms', now, ...)
  end
end

-- A repeat of a run that no worker has met yet may be published again: its first job has the same id. A run that another
-- version opened as a packed one stays so.
function transitions.open_run(run, pipeline, stage, input, input_reference, digest, expires_in, delay, rerun_of, tags,
  signature, ttl)
  local state, known_pipeline, known_digest, accepted_ms, known_expires_ms, due_ms =
    read(run_key(run), 'state', 'pipeline', 'digest', 'accepted_ms', 'expires_ms', 'due_ms')
  local same = known_pipeline == pipeline and known_digest == digest
  if not state and redis.call('EXISTS', packed_run_key(run)) == 1 then return { 'packed', 0, 0, 0, 0 } end
  if not state or (state == 'rejected' and same) then
    local expires_ms = expires_in > 0 and now + expires_in or 0
    if state then redis.call('DEL', run_key(run), events_key(run)) end
    write_run(run, pipeline, stage, input, digest, now, expires_ms, rerun_of, ttl, delay)
    if signature ~= '' then redis.call('HSET', run_key(run), 'signature', signature) end
    if input_reference ~= '' then redis.call('HSET', run_key(run), 'input_reference', input_reference) end
    if tags ~= '' then redis.call('HSET', run_key(run), 'tags', tags) end
    if delay > 0 then note_delay(run, delay, ttl) end
    local openings = delay > 0 and DELAYED_OPENINGS or OPENINGS
    redis.call('ZADD', openings, now, run)
    redis.call('PEXPIRE', openings, ttl)
    return { 'opened', now, expires_ms, delay > 0 and now + delay or 0, delay }
  end
  if not same then return { 'conflict', 0, 0, 0, 0 } end
  -- A second copy of a delayed job would come due after its run is over, perhaps when that is forgotten.
  local published = due_ms and not redis.call('ZSCORE', DELAYED_OPENINGS, run)
  local waiting = state == 'queued' and not published
  if waiting then redis.call('HINCRBY', run_key(run), 'submitters', 1) end
  return { waiting and 'waiting' or 'known', tonumber(accepted_ms), tonumber(known_expires_ms or 0),
    tonumber(due_ms or 0), until_due(run) }
end

local function forget_opening(run)
  return redis.call('ZREM', OPENINGS, run) == 1 or redis.call('ZREM', DELAYED_OPENINGS, run) == 1
end

-- The caller got an error: the run is not accepted. When that was the last submitter, and no worker has met the run, a
-- message that did arrive must not run it. A success that another caller got stays valid.
function transitions.reject_run(run, failure, ttl)
  if redis.call('EXISTS', run_key(run)) == 0 or redis.call('HINCRBY', run_key(run), 'submitters', -1) > 0
    or not forget_opening(run) or redis.call('HGET', run_key(run), 'state') ~= 'queued' then
    return { 'kept' }
  end
  change_run(run, ttl + until_due(run), 'state', 'rejected', 'finished_ms', now)
  record_event(run, 'rejected', '', '', 0, '', failure)
  return { 'rejected' }
end

function transitions.published(run)
  forget_opening(run)
  return { 'recorded' }
end

-- Runs recorded at least `age` ms ago whose first job is not known to be published, and which no worker has met.
function transitions.unpublished(age, limit)
  local found = { 'unpublished', now }
  for _, openings in ipairs({ OPENINGS, DELAYED_OPENINGS }) do
    for _, run in ipairs(redis.call('ZRANGE', openings, '-inf', now - age, 'BYSCORE', 'LIMIT', 0, limit)) do
      -- This fails where the key is of another type: one damaged run must not hold up the others.
      local ok, state, accepted_ms, updated_ms = pcall(read, run_key(run), 'state', 'accepted_ms', 'updated_ms')
      if ok and state == 'queued' and accepted_ms == updated_ms then
        table.insert(found, run)
      else
        redis.call('ZREM', openings, run)
      end
    end
  end
  return found
end

-- Ends a run from outside. Workers that run a job of it learn it by `ended`; waiting jobs at their claim.
function transitions.cancel_run(run, failure, ttl)
  local state = redis.call('HGET', run_key(run), 'state')
  if not state then return { 'unknown' } end
  if ENDED[state] then return { state } end
  change_run(run, ttl + until_due(run), 'state', 'cancelled', 'finished_ms', now)
  if failure ~= '' then redis.call('HSET', run_key(run), 'failure', failure) end
  record_event(run, 'cancelled', '', '', 0, '', failure)
  return { 'cancelled' }
end

local function expire_run(run, stage, job, attempt, worker, ttl)
  change_run(run, ttl, 'state', 'expired', 'finished_ms', now)
  record_event(run, 'expired', stage, job, attempt, worker, '')
  return { 'over', 'expired' }
end

-- The state of a run, empty for an unknown one: all that who waits for its end needs to look at.
function transitions.look(run)
  local ok, state = pcall(redis.call, 'HGET', run_key(run), 'state')
  return { ok and state or '' }
end

function transitions.ended(...)
  local found = { 'ended' }
  for _, run in ipairs({ ... }) do
    local ok, state = pcall(redis.call, 'HGET', run_key(run), 'state')
    if ok and ENDED[state or ''] then table.insert(found, run) end
  end
  return found
end

function transitions.progress(run, progress)
  if redis.call('EXISTS', run_key(run)) == 0 then return { 'lost' } end
  redis.call('HSET', run_key(run), 'progress', progress)
  notify(run, CHANGES)
  return { 'recorded' }
end

-- The newest completed run of each pipeline.
local function note_latest(run, pipeline, accepted_ms, ttl)
  local latest = 'mousetrap:latest:' .. pipeline
  local latest_ms, kept_ms = read(latest, 'accepted_ms', 'kept_ms')
  if tonumber(latest_ms or 0) > tonumber(accepted_ms) then return end
  redis.call('HSET', latest, 'run', run, 'accepted_ms', accepted_ms)
  if due_extension(kept_ms, ttl) then
    redis.call('HSET', latest, 'kept_ms', now)
    redis.call('PEXPIRE', latest, extended(ttl))
  end
end
