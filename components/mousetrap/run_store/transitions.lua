-- Every transition of a run and its jobs, each atomic; the server's clock is the only one, and no time runs backwards.
--
-- Keys, all with a time-to-live:
--   mousetrap:run:<id>            hash    what a run is: pipeline, state, input, result, failure, progress
--   mousetrap:run:<id>:events     stream  its timeline
--   mousetrap:job:<id>            hash    who holds a job, under which fence, and what was decided of it
--   mousetrap:runs:<day>          zset    runs accepted that day, "<ms>:<id>", all scores 0: ordered by their text
--   mousetrap:runs:<pipeline>:<day>       the same of one pipeline
--   mousetrap:latest:<pipeline>   hash    its newest completed run
--   mousetrap:openings            zset    runs that are recorded, and not known to be published yet, by when
--   mousetrap:lock:<key>          hash    which job holds a lock, until when, and the fence of its latest holder
--   mousetrap:clock               string  the server's time when last noted, and how far our clock was ahead of it
--
-- Python sends many calls in one: [[transition, argument, ...], ...] in msgpack, and gets a list of replies.

local DAY, HOUR = 86400000, 3600000
local OPENINGS = 'mousetrap:openings'
local NUDGE = 'mousetrap:nudge'
local ENDED = { completed = true, failed = true, rejected = true, cancelled = true, expired = true }
-- Ended from outside: whatever a job of such a run comes to, nothing follows from it.
local STOPPED = { rejected = true, cancelled = true, expired = true }
-- A job begun more often than this without an end runs alone, and is counted only when it does.
local IN_COMPANY = 2

-- Our clock is the server's until that is set back. From there on it goes on from where it was, ahead of the server's, and
-- a tenth slower until the two agree. What is noted of it (here and by queue.lua of stream_queue, which reads it) outlives the server.
local CLOCK = 'mousetrap:clock'
local NOTED = 1000
-- The server's time at the last call, how far our clock was ahead of it then, and when that was noted last.
local seen, ahead, noted = 0, 0, 0

local function healed(by, passed) return math.max(0, by - passed / 10) end

local function note_clock(at)
  local went, said = pcall(redis.call, 'GET', CLOCK)
  local said_at, said_ahead = string.match(went and said or '', '^(%d+) (%d+)$')
  local their_seen, their_ahead = tonumber(said_at or 0), tonumber(said_ahead or 0)
  local theirs = their_seen > at and their_seen - at + their_ahead or healed(their_ahead, at - their_seen)
  -- A clock that leapt further and came back is not followed for years.
  ahead = math.min(math.max(ahead, theirs), DAY)
  noted = at
  redis.call('SET', CLOCK, string.format('%d %d', at, ahead), 'PX', 2 * DAY)
end

local function read_clock()
  local time = redis.call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  local back = at < seen
  if back then
    ahead = ahead + seen - at
  elseif ahead > 0 then
    ahead = healed(ahead, at - seen)
  end
  if back or at - noted >= NOTED then note_clock(at) end
  seen = at
  return at + math.floor(ahead)
end

-- Read once for all transitions of a call: the time, which stands still in a call anyway, and whether anyone watches.
local now, watched

local function look_around()
  now = read_clock()
  watched = redis.call('PUBSUB', 'NUMSUB', NUDGE)[2] > 0
end

local function run_key(run) return 'mousetrap:run:' .. run end
local function job_key(job) return 'mousetrap:job:' .. job end
local function lock_key(lock) return 'mousetrap:lock:' .. lock end
local function events_key(run) return run_key(run) .. ':events' end

local function nudge(run)
  if watched then redis.call('PUBLISH', NUDGE, run) end
end

local function add_event(run, id, kind, stage, job, attempt, worker, data)
  redis.call('XADD', events_key(run), 'MAXLEN', '~', 1000, id, 'kind', kind, 'stage', stage, 'job', job,
    'attempt', attempt, 'worker', worker, 'data', data)
end

-- An entry's id is its time: the server's own, unless our clock is ahead of it. Of one that is not greater than the last
-- one's the server makes a greater one itself.
local function tell(run, ...)
  if ahead < 1 or not pcall(add_event, run, string.format('%d-*', now), ...) then add_event(run, '*', ...) end
  nudge(run)
end

-- To prolong a time-to-live is a write like any other. So all are a little longer than asked for, and are prolonged once
-- that little is over.
local function lasting(ttl) return ttl + math.floor(ttl / 64) end
local function due(kept, ttl) return (not kept or now - tonumber(kept) > ttl / 64) and ttl end

local function keep_run(run, ttl)
  redis.call('PEXPIRE', run_key(run), lasting(ttl))
  redis.call('PEXPIRE', events_key(run), lasting(ttl))
end

local function open(run, pipeline, stage, input, digest, at, expires, rerun_of, ttl)
  redis.call('HSET', run_key(run), 'pipeline', pipeline, 'state', 'queued', 'stage', stage, 'first', stage, 'input', input,
    'digest', digest, 'accepted_ms', at, 'updated_ms', at, 'expires_ms', expires, 'rerun_of', rerun_of, 'submitters', 1,
    'kept_ms', now)
  tell(run, 'accepted', stage, '', 0, '', '')
  keep_run(run, ttl)
  local member = string.format('%013d:%s', at, run)
  for _, day in ipairs({ 'mousetrap:runs:', 'mousetrap:runs:' .. pipeline .. ':' }) do
    local index = day .. math.floor(at / DAY)
    redis.call('ZADD', index, 0, member)
    if redis.call('ZCARD', index) == 1 then redis.call('PEXPIRE', index, ttl + 2 * DAY) end
  end
end

-- With `ttl` the run is remembered for so long from now.
local function change(run, ttl, ...)
  if ttl then
    redis.call('HSET', run_key(run), 'updated_ms', now, 'kept_ms', now, ...)
    keep_run(run, ttl)
  else
    redis.call('HSET', run_key(run), 'updated_ms', now, ...)
  end
end

local transitions = {}

-- A repeat of a run that no worker has met yet may be published again: its first job has the same id.
function transitions.open_run(run, pipeline, stage, input, digest, expires_in, rerun_of, signature, ttl)
  local known = redis.call('HMGET', run_key(run), 'state', 'pipeline', 'digest', 'accepted_ms', 'expires_ms')
  if not known[1] or (known[1] == 'rejected' and known[2] == pipeline and known[3] == digest) then
    local at = now
    local expires = expires_in > 0 and at + expires_in or 0
    if known[1] then redis.call('DEL', run_key(run), events_key(run)) end
    open(run, pipeline, stage, input, digest, at, expires, rerun_of, ttl)
    if signature ~= '' then redis.call('HSET', run_key(run), 'signature', signature) end
    redis.call('ZADD', OPENINGS, at, run)
    redis.call('PEXPIRE', OPENINGS, ttl)
    return { 'opened', at, expires }
  end
  if known[2] ~= pipeline or known[3] ~= digest then return { 'conflict', 0, 0 } end
  if known[1] == 'queued' then redis.call('HINCRBY', run_key(run), 'submitters', 1) end
  return { known[1] == 'queued' and 'waiting' or 'known', tonumber(known[4]), tonumber(known[5] or 0) }
end

-- A submitter's caller was told that the run is not accepted. When it was the last one, and no worker has met the run, a
-- message that did get through must not run it; what was said to another caller holds.
function transitions.reject_run(run, why, ttl)
  if redis.call('EXISTS', run_key(run)) == 0 or redis.call('HINCRBY', run_key(run), 'submitters', -1) > 0
    or redis.call('ZREM', OPENINGS, run) == 0 or redis.call('HGET', run_key(run), 'state') ~= 'queued' then
    return { 'kept' }
  end
  change(run, ttl, 'state', 'rejected', 'finished_ms', now)
  tell(run, 'rejected', '', '', 0, '', why)
  return { 'rejected' }
end

function transitions.published(run)
  redis.call('ZREM', OPENINGS, run)
  return { 'recorded' }
end

-- The runs recorded so long ago whose first job nobody is known to have published, and no worker has met.
function transitions.unpublished(age, most)
  local found = { 'unpublished' }
  for _, run in ipairs(redis.call('ZRANGE', OPENINGS, '-inf', now - age, 'BYSCORE', 'LIMIT', 0, most)) do
    -- Where the key is of another type this fails: one damaged run must not hold up the others.
    local went, run_is = pcall(redis.call, 'HMGET', run_key(run), 'state', 'accepted_ms', 'updated_ms')
    if went and run_is[1] == 'queued' and run_is[2] == run_is[3] then
      table.insert(found, run)
    else
      redis.call('ZREM', OPENINGS, run)
    end
  end
  return found
end

-- Ends a run from outside. Whatever runs of it learns so by `ended`; what waits, when it asks for its claim.
function transitions.cancel_run(run, why, ttl)
  local state = redis.call('HGET', run_key(run), 'state')
  if not state then return { 'unknown' } end
  if ENDED[state] then return { state } end
  change(run, ttl, 'state', 'cancelled', 'finished_ms', now)
  if why ~= '' then redis.call('HSET', run_key(run), 'failure', why) end
  tell(run, 'cancelled', '', '', 0, '', why)
  return { 'cancelled' }
end

local function expire(run, stage, job, attempt, worker, ttl)
  change(run, ttl, 'state', 'expired', 'finished_ms', now)
  tell(run, 'expired', stage, job, attempt, worker, '')
  return { 'over' }
end

function transitions.ended(...)
  local found = { 'ended' }
  for _, run in ipairs({ ... }) do
    local went, state = pcall(redis.call, 'HGET', run_key(run), 'state')
    if went and ENDED[state or ''] then table.insert(found, run) end
  end
  return found
end

-- Locks: taken with a claim, renewed with it, given up with its decision. A fence never falls, even when the lock was
-- forgotten meanwhile, for it is never less than the clock.
local function take_lock(lock, job, run, lease, ttl)
  local held = redis.call('HMGET', lock_key(lock), 'job', 'until_ms', 'fence', 'run')
  if held[1] and held[1] ~= job and tonumber(held[2]) > now then return nil, held[4] end
  local fence = math.max(tonumber(held[3] or 0) + 1, now)
  redis.call('HSET', lock_key(lock), 'job', job, 'run', run, 'until_ms', now + lease, 'fence', fence)
  redis.call('PEXPIRE', lock_key(lock), ttl)
  return fence
end

local function holds_lock(job, lock) return redis.call('HGET', lock_key(lock), 'job') == job end

local function free_lock(job, lock)
  redis.call('HDEL', job_key(job), 'lock')
  if holds_lock(job, lock) then redis.call('HDEL', lock_key(lock), 'job', 'run', 'until_ms') end
end

-- The job comes again later; how long it has been kept waiting tells its worker how soon.
local function wait_for_lock(job, run, stage, attempt, worker, holder, ttl)
  local since = redis.call('HGET', job_key(job), 'waiting_ms')
  if not since then
    since = now
    local why = cjson.encode({ kind = 'LockHeld', text = 'waits for a lock that run ' .. holder .. ' holds' })
    tell(run, 'waiting', stage, job, attempt, worker, why)
  end
  -- The fence grows, so that a holder who lost the lock and still lives can decide nothing.
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HSET', job_key(job), 'state', 'waiting', 'attempt', attempt, 'waiting_ms', since)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'queued')
  return { 'locked', holder, now - tonumber(since) }
end

-- What of an earlier round is on record no longer counts, and whoever is late from there can decide nothing.
local function begin_round(job, generation, state, ttl)
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HDEL', job_key(job), 'verdict', 'due_ms', 'waiting_ms', 'arrived', 'worker', 'until_ms', 'begun',
    'outage_ms')
  redis.call('HSET', job_key(job), 'state', state, 'generation', generation, 'attempt', 0, 'starts', 0)
  redis.call('PEXPIRE', job_key(job), ttl)
end

-- A parent's output has arrived where it was to go, so nobody will have to publish it again; a re-run may want it.
local function arrived(parent, keep)
  local size = redis.call('HSTRLEN', job_key(parent), 'verdict')
  if size > keep then
    redis.call('HDEL', job_key(parent), 'verdict')
  elseif size > 0 then
    redis.call('HSET', job_key(parent), 'arrived', 1)
  end
end

-- A run goes on, because its dead job is with its queue again: once for each round, and not if it ended otherwise meanwhile.
local function reopen(run, pipeline, stage, job, accepted, ttl)
  redis.call('HSET', job_key(job), 'state', 'redriven')
  local state = redis.call('HGET', run_key(run), 'state')
  if state and ENDED[state] and state ~= 'failed' then return end
  if not state then open(run, pipeline, stage, 'null', '', accepted, 0, '', ttl) end
  redis.call('HDEL', run_key(run), 'finished_ms', 'failure', 'expires_ms')
  change(run, ttl, 'state', 'queued', 'stage', stage)
  tell(run, 'redriven', stage, job, 0, '', '')
end

local function claim_facts(job)
  return redis.call('HMGET', job_key(job), 'state', 'attempt', 'worker', 'until_ms', 'starts', 'verdict', 'due_ms',
    'arrived', 'lock', 'fence', 'suspect', 'generation', 'waiting_ms')
end

-- A message that is older than any run is remembered, and of which nothing is known, may be one that somebody kept; nobody
-- can tell any more whether it was done. An hour is left for clocks that step.
function transitions.claim(job, run, pipeline, stage, attempt, parent, accepted, generation, expires, worker, redelivered,
    lock, waits, crashes, lease, keep, ttl)
  local held = claim_facts(job)
  if not held[1] and now - accepted > lasting(ttl) + HOUR and redis.call('EXISTS', run_key(run)) == 0 then
    return { 'forgotten' }
  end
  if generation < tonumber(held[12] or 0) then return { 'over' } end
  if generation > tonumber(held[12] or 0) then
    -- The store has forgotten that the job goes round again, as one can that syncs once a second.
    begin_round(job, generation, 'redriving', ttl)
    held = claim_facts(job)
  end
  -- Whoever sent it round may have died before it could say so.
  if held[1] == 'redriving' then reopen(run, pipeline, stage, job, accepted, ttl) end
  local state, reached = held[1], tonumber(held[2] or 0)
  local run_state, kept = unpack(redis.call('HMGET', run_key(run), 'state', 'kept_ms'))
  if run_state and STOPPED[run_state] then return { 'over' } end
  if state == 'done' or state == 'dead' then return { 'decided', not held[8] and held[6] or '', 0 } end
  if run_state and ENDED[run_state] then return { 'over' } end
  if reached > attempt then
    if state == 'retrying' then return { 'decided', held[6], math.max(0, tonumber(held[7]) - now) } end
    return { 'over' }
  end
  local running = state == 'running' and reached == attempt
  local mine = running and held[3] == worker
  -- Redelivered means that its last holder's connection is gone; but a message can have copies, and before a job is given
  -- up for killing its workers, the last one has the time of its claim to show that it lives.
  local convicted = running and tonumber(held[5]) >= crashes
  if running and not mine and (not redelivered or convicted) and tonumber(held[4]) > now then
    return { 'busy', tonumber(held[4]) - now }
  end
  -- Asked twice, because the first answer was lost: a new fence would be granted to nobody and void the one in use.
  local late = expires > 0 and now >= expires
  if mine and not redelivered and not late and (lock == '' or held[9] == lock) then
    redis.call('HSET', job_key(job), 'until_ms', now + lease)
    local lock_fence = held[9] and redis.call('HGET', lock_key(lock), 'fence') or 0
    return { 'granted', tonumber(held[10]), tonumber(held[5]), held[11] == '1', tonumber(lock_fence), '' }
  end
  if not run_state then
    open(run, pipeline, stage, 'null', '', accepted, expires, '', ttl)
    kept = now
  end
  if parent == '' then redis.call('ZREM', OPENINGS, run) else arrived(parent, keep) end
  if late then
    redis.call('HINCRBY', job_key(job), 'fence', 1)
    redis.call('PEXPIRE', job_key(job), ttl)
    return expire(run, stage, job, attempt, worker, ttl)
  end
  local lock_fence, holder = 0, ''
  if lock ~= '' then
    lock_fence, holder = take_lock(lock, job, run, lease, ttl)
    if not lock_fence and waits then return wait_for_lock(job, run, stage, attempt, worker, holder, ttl) end
  end
  local before = (running or state == 'waiting') and reached == attempt and tonumber(held[5]) or 0
  local starts = before + (mine and 0 or 1)
  local suspect = starts > IN_COMPANY or (mine and held[11] == '1')
  local fence = tonumber(held[10] or 0) + 1
  redis.call('HSET', job_key(job), 'state', 'running', 'attempt', attempt, 'worker', worker, 'until_ms', now + lease,
    'starts', suspect and before or starts, 'suspect', suspect and 1 or 0, 'fence', fence)
  if held[6] or held[13] then redis.call('HDEL', job_key(job), 'verdict', 'waiting_ms') end
  if lock_fence and lock ~= '' then redis.call('HSET', job_key(job), 'lock', lock) end
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, due(kept, ttl), 'state', 'running', 'stage', stage)
  -- An attempt that waits for an outage to end is one attempt, however often it is made.
  local away = state == 'outage' and now - tonumber(redis.call('HGET', job_key(job), 'outage_ms')) or 0
  if not suspect and state ~= 'outage' then tell(run, 'started', stage, job, attempt, worker, '') end
  return { 'granted', fence, suspect and before or starts, suspect, lock_fence or 0, lock_fence and '' or holder, away }
end

-- A suspect begins, alone in its worker: from here on its worker's death is its own doing.
function transitions.begin(job, run, stage, attempt, fence, worker, ttl)
  local held = redis.call('HMGET', job_key(job), 'fence', 'begun', 'starts')
  if tonumber(held[1] or 0) ~= fence then return { 'stale', 0 } end
  if tonumber(held[2] or 0) == fence then return { 'begun', tonumber(held[3]) } end
  redis.call('HSET', job_key(job), 'begun', fence)
  tell(run, 'started', stage, job, attempt, worker, '')
  return { 'begun', redis.call('HINCRBY', job_key(job), 'starts', 1) }
end

-- Whoever lost a job and lives to hear of it did not die of it.
function transitions.survived(job, attempt)
  local held = redis.call('HMGET', job_key(job), 'state', 'attempt', 'starts')
  if held[1] == 'running' and tonumber(held[2]) == attempt and tonumber(held[3] or 0) > 1 then
    redis.call('HINCRBY', job_key(job), 'starts', -1)
  end
  return { 'recorded' }
end

-- Lost is what a later claim won, and nothing else: a job that its holder has decided is still its holder's to act on.
function transitions.renew(job, run, fence, lease, ttl)
  local held = redis.call('HMGET', job_key(job), 'fence', 'state', 'lock')
  if tonumber(held[1] or 0) ~= fence then return { 'lost' } end
  if held[2] == 'running' then
    local lock = held[3]
    if lock and holds_lock(job, lock) then redis.call('HSET', lock_key(lock), 'until_ms', now + lease) end
    redis.call('HSET', job_key(job), 'until_ms', now + lease)
  end
  redis.call('PEXPIRE', job_key(job), ttl)
  keep_run(run, ttl)
  return { 'renewed' }
end

-- Only the newest claim may decide, of a run that nobody ended, and only while it holds its lock; deciding twice under one
-- claim is the same decision heard again.
local function may_decide(job, run, fence)
  local held = redis.call('HMGET', job_key(job), 'fence', 'state', 'lock')
  if tonumber(held[1] or 0) ~= fence then return nil, { 'stale' } end
  if held[2] == 'waiting' then return nil, { 'unlocked' } end
  if held[2] ~= 'running' then return nil, { 'recorded' } end
  local lock = held[3]
  local run_is = redis.call('HMGET', run_key(run), 'state', 'kept_ms', 'pipeline', 'accepted_ms')
  if STOPPED[run_is[1] or ''] then
    if lock then free_lock(job, lock) end
    return nil, { 'over' }
  end
  if lock and not holds_lock(job, lock) then
    redis.call('HSET', job_key(job), 'state', 'waiting', 'starts', 0)
    redis.call('HDEL', job_key(job), 'lock')
    return nil, { 'unlocked' }
  end
  if lock then free_lock(job, lock) end
  return run_is
end

function transitions.done(job, run, stage, attempt, fence, worker, verdict, ttl)
  local run_is, reply = may_decide(job, run, fence)
  if not run_is then return reply end
  redis.call('HSET', job_key(job), 'state', 'done', 'verdict', verdict)
  change(run, due(run_is[2], ttl), 'state', 'queued')
  tell(run, 'finished', stage, job, attempt, worker, '')
  return { 'recorded' }
end

-- The newest completed run of each pipeline.
local function note_latest(run, pipeline, accepted, ttl)
  local latest = 'mousetrap:latest:' .. pipeline
  local known = redis.call('HMGET', latest, 'accepted_ms', 'kept_ms')
  if tonumber(known[1] or 0) > tonumber(accepted) then return end
  redis.call('HSET', latest, 'run', run, 'accepted_ms', accepted)
  if due(known[2], ttl) then
    redis.call('HSET', latest, 'kept_ms', now)
    redis.call('PEXPIRE', latest, lasting(ttl))
  end
end

function transitions.complete(job, run, stage, attempt, fence, worker, result, ttl)
  local run_is, reply = may_decide(job, run, fence)
  if not run_is then return reply end
  redis.call('HSET', job_key(job), 'state', 'done')
  change(run, due(run_is[2], ttl), 'state', 'completed', 'result', result, 'finished_ms', now)
  tell(run, 'finished', stage, job, attempt, worker, '')
  tell(run, 'completed', '', '', 0, '', '')
  if run_is[3] then note_latest(run, run_is[3], run_is[4], ttl) end
  return { 'recorded' }
end

function transitions.retry(job, run, stage, attempt, fence, worker, verdict, failure, delay, ttl)
  local run_is, reply = may_decide(job, run, fence)
  if not run_is then return reply end
  redis.call('HSET', job_key(job), 'state', 'retrying', 'attempt', attempt + 1, 'verdict', verdict,
    'due_ms', now + delay)
  redis.call('PEXPIRE', job_key(job), ttl + delay)
  change(run, ttl + delay, 'state', 'retrying')
  redis.call('HDEL', job_key(job), 'outage_ms')
  tell(run, 'retrying', stage, job, attempt, worker, failure)
  return { 'recorded' }
end

-- What the handler depends on is away: the same attempt is made again later. The timeline says so once, for an outage can
-- last for days. No outcome is kept: who meets the job again, its message repeated, makes the attempt at once.
function transitions.wait_out(job, run, stage, attempt, fence, worker, failure, delay, ttl)
  local run_is, reply = may_decide(job, run, fence)
  if not run_is then return reply end
  local since = redis.call('HGET', job_key(job), 'outage_ms')
  redis.call('HSET', job_key(job), 'state', 'outage', 'outage_ms', since or now)
  redis.call('PEXPIRE', job_key(job), ttl + delay)
  change(run, ttl + delay, 'state', 'retrying')
  if not since then tell(run, 'retrying', stage, job, attempt, worker, failure) end
  return { 'recorded' }
end

-- The story is the failure with its traceback: only the timeline keeps that.
local function die(job, run, stage, attempt, worker, verdict, failure, story, ttl)
  redis.call('HSET', job_key(job), 'state', 'dead', 'verdict', verdict)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'failed', 'failure', failure, 'finished_ms', now)
  tell(run, 'gave_up', stage, job, attempt, worker, story)
  tell(run, 'failed', '', '', 0, '', '')
  return { 'recorded' }
end

function transitions.give_up(job, run, stage, attempt, fence, worker, verdict, failure, story, ttl)
  local run_is, reply = may_decide(job, run, fence)
  if not run_is then return reply end
  return die(job, run, stage, attempt, worker, verdict, failure, story, ttl)
end

-- What is on record was not signed by us: the job is given up in its place, unless the record has changed since. Whoever
-- runs it meanwhile can decide nothing.
function transitions.distrust(job, run, pipeline, stage, attempt, accepted, worker, refused, verdict, failure, ttl)
  if redis.call('HGET', job_key(job), 'verdict') ~= refused then return { 'stale' } end
  local state = redis.call('HGET', run_key(run), 'state')
  if state and ENDED[state] and state ~= 'failed' then return { 'over' } end
  if not state then open(run, pipeline, stage, 'null', '', accepted, 0, '', ttl) end
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HDEL', job_key(job), 'arrived')
  return die(job, run, stage, attempt, worker, verdict, failure, failure, ttl)
end

-- A dead letter goes round again, once for each time that it died; whoever comes with an older one comes too late. One that
-- the broker itself put aside was never decided: it goes round unless someone is at work on its job. Until the job is with
-- its queue, its letter is all there is, and its run has failed as before.
function transitions.redrive(job, run, generation, ttl)
  local held = redis.call('HMGET', job_key(job), 'state', 'generation', 'until_ms', 'redriven_ms')
  local state, round = held[1], tonumber(held[2] or 0)
  if (state == 'redriving' or state == 'redriven') and round == generation + 1 then
    return { 'redriven', tonumber(held[4] or now) }
  end
  local stopped = STOPPED[redis.call('HGET', run_key(run), 'state') or '']
  if round > generation or state == 'done' or stopped then return { 'stale', 0 } end
  if state == 'running' and tonumber(held[3]) > now then return { 'busy', 0 } end
  begin_round(job, generation + 1, 'redriving', ttl)
  redis.call('HSET', job_key(job), 'redriven_ms', now)
  return { 'redriven', now }
end

function transitions.redriven(job, run, pipeline, stage, accepted, generation, ttl)
  local held = redis.call('HMGET', job_key(job), 'state', 'generation')
  if held[1] == 'redriving' and tonumber(held[2]) == generation then
    reopen(run, pipeline, stage, job, accepted, ttl)
  end
  return { 'recorded' }
end

-- A worker that stops hands an unfinished job back; that start does not count against the job.
function transitions.release(job, run, stage, attempt, fence, worker, ttl)
  local run_is, reply = may_decide(job, run, fence)
  if not run_is then return reply end
  redis.call('HSET', job_key(job), 'until_ms', 0, 'worker', '')
  local held = redis.call('HMGET', job_key(job), 'suspect', 'begun')
  if held[1] ~= '1' or tonumber(held[2]) == fence then redis.call('HINCRBY', job_key(job), 'starts', -1) end
  change(run, ttl, 'state', 'queued')
  tell(run, 'handed_back', stage, job, attempt, worker, '')
  return { 'recorded' }
end

function transitions.progress(run, progress)
  if redis.call('EXISTS', run_key(run)) == 0 then return { 'lost' } end
  redis.call('HSET', run_key(run), 'progress', progress)
  nudge(run)
  return { 'recorded' }
end

-- What a worker asks for of a job.
local OF_JOBS = { claim = true, begin = true, done = true, complete = true, retry = true, wait_out = true, give_up = true,
  distrust = true }

-- Whether it failed for what is kept of this one job or its run, which does not pass as a full disk or memory does: a key of
-- another type, a field that is no number. Whatever else fails may be over later, and buries nothing: rights, a replica.
local DAMAGE = { 'attempt to', 'bad argument', 'not an integer', 'would overflow', 'exhausted the last' }

local function is_damage(job, run, why)
  local said = tostring(type(why) == 'table' and why.err or why)
  for _, words in ipairs(DAMAGE) do
    if string.find(said, words, 1, true) then return true end
  end
  if not string.find(said, 'WRONGTYPE', 1, true) then return false end
  return not (pcall(redis.call, 'HGET', job_key(job), 'state') and pcall(redis.call, 'HGET', run_key(run), 'state')
    and pcall(redis.call, 'XLEN', events_key(run)))
end

local function apply(_, args)
  look_around()
  local replies = {}
  for place, call in ipairs(cmsgpack.unpack(args[1])) do
    local name = table.remove(call, 1)
    local went, reply = pcall(transitions[name], unpack(call))
    if not went then
      local what = OF_JOBS[name] and is_damage(call[1], call[2], reply) and 'damaged' or 'error'
      reply = { what, tostring(type(reply) == 'table' and reply.err or reply) }
    end
    replies[place] = reply
  end
  return cmsgpack.pack(replies)
end

redis.register_function('NAME', apply)
