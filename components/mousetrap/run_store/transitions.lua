-- Every transition of a run and its jobs, each atomic; the server's clock is the only one.
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
--
-- Python sends many calls in one: [[transition, argument, ...], ...] in msgpack, and gets a list of replies.

local DAY = 86400000
local OPENINGS = 'mousetrap:openings'
local ENDED = { completed = true, failed = true, rejected = true, cancelled = true, expired = true }
-- Ended from outside: whatever a job of such a run comes to, nothing follows from it.
local STOPPED = { rejected = true, cancelled = true, expired = true }
-- A job begun more often than this without an end runs alone, and is counted only when it does.
local IN_COMPANY = 2

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function run_key(run) return 'mousetrap:run:' .. run end
local function job_key(job) return 'mousetrap:job:' .. job end
local function lock_key(lock) return 'mousetrap:lock:' .. lock end

local function tell(run, kind, stage, job, attempt, worker, data, ttl)
  local key = run_key(run) .. ':events'
  redis.call('XADD', key, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'stage', stage, 'job', job, 'attempt', attempt,
    'worker', worker, 'data', data)
  redis.call('PEXPIRE', key, ttl)
  redis.call('PUBLISH', 'mousetrap:nudge', run)
end

local function open(run, pipeline, stage, input, digest, at, expires, rerun_of, ttl)
  redis.call('DEL', run_key(run), run_key(run) .. ':events')
  redis.call('HSET', run_key(run), 'pipeline', pipeline, 'state', 'queued', 'stage', stage, 'first', stage, 'input', input,
    'digest', digest, 'accepted_ms', at, 'updated_ms', at, 'expires_ms', expires, 'rerun_of', rerun_of)
  redis.call('PEXPIRE', run_key(run), ttl)
  local member = string.format('%013d:%s', at, run)
  for _, day in ipairs({ 'mousetrap:runs:', 'mousetrap:runs:' .. pipeline .. ':' }) do
    local index = day .. math.floor(at / DAY)
    redis.call('ZADD', index, 0, member)
    redis.call('PEXPIRE', index, ttl + DAY)
  end
  tell(run, 'accepted', stage, '', 0, '', '', ttl)
end

local function change(run, ttl, ...)
  redis.call('HSET', run_key(run), 'updated_ms', now_ms(), ...)
  redis.call('PEXPIRE', run_key(run), ttl)
end

local transitions = {}

-- A repeat of a run that no worker has met yet may be published again: its first job has the same id.
function transitions.open_run(run, pipeline, stage, input, digest, expires_in, rerun_of, ttl)
  local known = redis.call('HMGET', run_key(run), 'state', 'pipeline', 'digest', 'accepted_ms', 'expires_ms')
  if not known[1] or (known[1] == 'rejected' and known[2] == pipeline and known[3] == digest) then
    local at = now_ms()
    local expires = expires_in > 0 and at + expires_in or 0
    open(run, pipeline, stage, input, digest, at, expires, rerun_of, ttl)
    redis.call('HSET', run_key(run), 'submitters', 1)
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
  change(run, ttl, 'state', 'rejected', 'finished_ms', now_ms())
  tell(run, 'rejected', '', '', 0, '', why, ttl)
  return { 'rejected' }
end

function transitions.published(run)
  redis.call('ZREM', OPENINGS, run)
  return { 'recorded' }
end

-- The runs recorded so long ago whose first job nobody is known to have published, and no worker has met.
function transitions.unpublished(age, most)
  local found = { 'unpublished' }
  for _, run in ipairs(redis.call('ZRANGE', OPENINGS, '-inf', now_ms() - age, 'BYSCORE', 'LIMIT', 0, most)) do
    local run_is = redis.call('HMGET', run_key(run), 'state', 'accepted_ms', 'updated_ms')
    if run_is[1] == 'queued' and run_is[2] == run_is[3] then
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
  change(run, ttl, 'state', 'cancelled', 'finished_ms', now_ms())
  if why ~= '' then redis.call('HSET', run_key(run), 'failure', why) end
  tell(run, 'cancelled', '', '', 0, '', why, ttl)
  return { 'cancelled' }
end

local function expire(run, stage, job, attempt, worker, ttl)
  change(run, ttl, 'state', 'expired', 'finished_ms', now_ms())
  tell(run, 'expired', stage, job, attempt, worker, '', ttl)
  return { 'over' }
end

function transitions.ended(...)
  local found = { 'ended' }
  for _, run in ipairs({ ... }) do
    if ENDED[redis.call('HGET', run_key(run), 'state') or ''] then table.insert(found, run) end
  end
  return found
end

-- Locks: taken with a claim, renewed with it, given up with its decision. A fence never falls, even when the lock was
-- forgotten meanwhile, for it is never less than the clock.
local function take_lock(lock, job, run, lease, ttl)
  local held = redis.call('HMGET', lock_key(lock), 'job', 'until_ms', 'fence', 'run')
  local now = now_ms()
  if held[1] and held[1] ~= job and tonumber(held[2]) > now then return nil, held[4] end
  local fence = math.max(tonumber(held[3] or 0) + 1, now)
  redis.call('HSET', lock_key(lock), 'job', job, 'run', run, 'until_ms', now + lease, 'fence', fence)
  redis.call('PEXPIRE', lock_key(lock), ttl)
  return fence
end

local function holds_its_lock(job)
  local lock = redis.call('HGET', job_key(job), 'lock')
  return not lock or redis.call('HGET', lock_key(lock), 'job') == job, lock
end

local function free_lock(job)
  local holds, lock = holds_its_lock(job)
  if lock then redis.call('HDEL', job_key(job), 'lock') end
  if lock and holds then redis.call('HDEL', lock_key(lock), 'job', 'run', 'until_ms') end
end

-- The job comes again later; how long it has been kept waiting tells its worker how soon.
local function wait_for_lock(job, run, stage, attempt, worker, holder, ttl)
  local since = redis.call('HGET', job_key(job), 'waiting_ms')
  if not since then
    since = now_ms()
    local why = cjson.encode({ kind = 'LockHeld', text = 'waits for a lock that run ' .. holder .. ' holds' })
    tell(run, 'waiting', stage, job, attempt, worker, why, ttl)
  end
  -- The fence grows, so that a holder who lost the lock and still lives can decide nothing.
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HSET', job_key(job), 'state', 'waiting', 'attempt', attempt, 'waiting_ms', since)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'queued')
  return { 'locked', holder, now_ms() - tonumber(since) }
end

-- What of an earlier round is on record no longer counts, and whoever is late from there can decide nothing.
local function begin_round(job, generation, state, ttl)
  redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HDEL', job_key(job), 'verdict', 'due_ms', 'waiting_ms', 'arrived', 'worker', 'until_ms', 'begun')
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

-- A run that failed goes on, because its dead job went round again.
local function reopen(run, stage, job, ttl)
  redis.call('HDEL', run_key(run), 'finished_ms', 'failure', 'expires_ms')
  change(run, ttl, 'state', 'queued', 'stage', stage)
  tell(run, 'redriven', stage, job, 0, '', '', ttl)
end

local function claim_facts(job)
  return redis.call('HMGET', job_key(job), 'state', 'attempt', 'worker', 'until_ms', 'starts', 'verdict', 'due_ms',
    'arrived', 'lock', 'fence', 'suspect', 'generation')
end

function transitions.claim(job, run, pipeline, stage, attempt, parent, accepted, generation, expires, worker, redelivered,
    lock, waits, crashes, lease, keep, ttl)
  local held = claim_facts(job)
  if generation < tonumber(held[12] or 0) then return { 'over' } end
  if generation > tonumber(held[12] or 0) then
    -- The store has forgotten that the job goes round again, as one can that syncs once a second.
    begin_round(job, generation, 'redriven', ttl)
    held = claim_facts(job)
    if redis.call('HGET', run_key(run), 'state') == 'failed' then reopen(run, stage, job, ttl) end
  end
  local state, reached = held[1], tonumber(held[2] or 0)
  local now = now_ms()
  local run_state = redis.call('HGET', run_key(run), 'state')
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
  if not run_state then open(run, pipeline, stage, 'null', '', accepted, expires, '', ttl) end
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
  local suspect = starts > IN_COMPANY
  local fence = redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HSET', job_key(job), 'state', 'running', 'attempt', attempt, 'worker', worker, 'until_ms', now + lease,
    'starts', suspect and before or starts, 'suspect', suspect and 1 or 0)
  redis.call('HDEL', job_key(job), 'verdict', 'waiting_ms')
  if lock_fence and lock ~= '' then redis.call('HSET', job_key(job), 'lock', lock) end
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'running', 'stage', stage)
  if not suspect then tell(run, 'started', stage, job, attempt, worker, '', ttl) end
  return { 'granted', fence, suspect and before or starts, suspect, lock_fence or 0, lock_fence and '' or holder }
end

-- A suspect begins, alone in its worker: from here on its worker's death is its own doing.
function transitions.begin(job, run, stage, attempt, fence, worker, ttl)
  local held = redis.call('HMGET', job_key(job), 'fence', 'begun', 'starts')
  if tonumber(held[1] or 0) ~= fence then return { 'stale', 0 } end
  if tonumber(held[2] or 0) == fence then return { 'begun', tonumber(held[3]) } end
  redis.call('HSET', job_key(job), 'begun', fence)
  tell(run, 'started', stage, job, attempt, worker, '', ttl)
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
function transitions.renew(job, fence, lease, ttl)
  local held = redis.call('HMGET', job_key(job), 'fence', 'state')
  if tonumber(held[1] or 0) ~= fence then return { 'lost' } end
  if held[2] == 'running' then
    local holds, lock = holds_its_lock(job)
    if lock and holds then redis.call('HSET', lock_key(lock), 'until_ms', now_ms() + lease) end
    redis.call('HSET', job_key(job), 'until_ms', now_ms() + lease)
  end
  redis.call('PEXPIRE', job_key(job), ttl)
  return { 'renewed' }
end

-- Only the newest claim may decide, of a run that nobody ended, and only while it holds its lock; deciding twice under one
-- claim is the same decision heard again.
local function may_decide(job, run, fence)
  local held = redis.call('HMGET', job_key(job), 'fence', 'state')
  if tonumber(held[1] or 0) ~= fence then return nil, { 'stale' } end
  if held[2] ~= 'running' then return nil, { 'recorded' } end
  if STOPPED[redis.call('HGET', run_key(run), 'state') or ''] then
    free_lock(job)
    return nil, { 'over' }
  end
  if not holds_its_lock(job) then
    redis.call('HSET', job_key(job), 'state', 'waiting', 'starts', 0)
    redis.call('HDEL', job_key(job), 'lock')
    return nil, { 'unlocked' }
  end
  free_lock(job)
  return true
end

function transitions.done(job, run, stage, attempt, fence, worker, verdict, ttl)
  local free, reply = may_decide(job, run, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'done', 'verdict', verdict)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'queued')
  tell(run, 'finished', stage, job, attempt, worker, '', ttl)
  return { 'recorded' }
end

function transitions.complete(job, run, stage, attempt, fence, worker, result, ttl)
  local free, reply = may_decide(job, run, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'done')
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'completed', 'result', result, 'finished_ms', now_ms())
  tell(run, 'finished', stage, job, attempt, worker, '', ttl)
  tell(run, 'completed', '', '', 0, '', '', ttl)
  local facts = redis.call('HMGET', run_key(run), 'pipeline', 'accepted_ms')
  local latest = 'mousetrap:latest:' .. facts[1]
  if tonumber(redis.call('HGET', latest, 'accepted_ms') or 0) <= tonumber(facts[2]) then
    redis.call('HSET', latest, 'run', run, 'accepted_ms', facts[2])
    redis.call('PEXPIRE', latest, ttl)
  end
  return { 'recorded' }
end

function transitions.retry(job, run, stage, attempt, fence, worker, verdict, failure, delay, ttl)
  local free, reply = may_decide(job, run, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'retrying', 'attempt', attempt + 1, 'verdict', verdict,
    'due_ms', now_ms() + delay)
  redis.call('PEXPIRE', job_key(job), ttl + delay)
  change(run, ttl + delay, 'state', 'retrying')
  tell(run, 'retrying', stage, job, attempt, worker, failure, ttl + delay)
  return { 'recorded' }
end

function transitions.give_up(job, run, stage, attempt, fence, worker, verdict, failure, ttl)
  local free, reply = may_decide(job, run, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'dead', 'verdict', verdict)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'failed', 'failure', failure, 'finished_ms', now_ms())
  tell(run, 'gave_up', stage, job, attempt, worker, failure, ttl)
  tell(run, 'failed', '', '', 0, '', '', ttl)
  return { 'recorded' }
end

-- A dead letter goes round again, once for each time that it died; whoever comes with an older one comes too late. One that
-- the broker itself put aside was never decided: it goes round unless someone is at work on its job.
function transitions.redrive(job, run, pipeline, stage, accepted, generation, ttl)
  local held = redis.call('HMGET', job_key(job), 'state', 'generation', 'until_ms')
  local state, round = held[1], tonumber(held[2] or 0)
  if state == 'redriven' and round == generation + 1 then return { 'redriven', round } end
  local stopped = STOPPED[redis.call('HGET', run_key(run), 'state') or '']
  if round > generation or state == 'done' or stopped then return { 'stale', 0 } end
  if state == 'running' and tonumber(held[3]) > now_ms() then return { 'busy', 0 } end
  begin_round(job, generation + 1, 'redriven', ttl)
  if redis.call('EXISTS', run_key(run)) == 0 then open(run, pipeline, stage, 'null', '', accepted, 0, '', ttl) end
  reopen(run, stage, job, ttl)
  return { 'redriven', generation + 1 }
end

-- A worker that stops hands an unfinished job back; that start does not count against the job.
function transitions.release(job, run, stage, attempt, fence, worker, ttl)
  local free, reply = may_decide(job, run, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'until_ms', 0, 'worker', '')
  local held = redis.call('HMGET', job_key(job), 'suspect', 'begun')
  if held[1] ~= '1' or tonumber(held[2]) == fence then redis.call('HINCRBY', job_key(job), 'starts', -1) end
  change(run, ttl, 'state', 'queued')
  tell(run, 'handed_back', stage, job, attempt, worker, '', ttl)
  return { 'recorded' }
end

function transitions.progress(run, progress)
  if redis.call('EXISTS', run_key(run)) == 0 then return { 'lost' } end
  redis.call('HSET', run_key(run), 'progress', progress)
  redis.call('PUBLISH', 'mousetrap:nudge', run)
  return { 'recorded' }
end

local function apply(_, args)
  local replies = {}
  for place, call in ipairs(cmsgpack.unpack(args[1])) do
    local transition = transitions[table.remove(call, 1)]
    local went, reply = pcall(transition, unpack(call))
    replies[place] = went and reply or { 'error', tostring(type(reply) == 'table' and reply.err or reply) }
  end
  return cmsgpack.pack(replies)
end

redis.register_function('NAME', apply)
