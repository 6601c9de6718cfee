-- Every transition of a run and its jobs, each atomic; the server's clock is the only one.
--
-- Keys, all with a time-to-live:
--   mousetrap:run:<id>            hash    what a run is: pipeline, state, input, result, failure, progress
--   mousetrap:run:<id>:events     stream  its timeline
--   mousetrap:job:<id>            hash    who holds a job, under which fence, and what was decided of it
--   mousetrap:runs:<day>          zset    runs accepted that day, "<ms>:<id>", all scores 0: ordered by their text
--   mousetrap:runs:<pipeline>:<day>       the same of one pipeline
--   mousetrap:latest:<pipeline>   hash    its newest completed run
--
-- Python sends many calls in one: [[transition, argument, ...], ...] in msgpack, and gets a list of replies.

local DAY = 86400000
local ENDED = { completed = true, failed = true, rejected = true }

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function run_key(run) return 'mousetrap:run:' .. run end
local function job_key(job) return 'mousetrap:job:' .. job end

local function tell(run, kind, stage, job, attempt, worker, data, ttl)
  local key = run_key(run) .. ':events'
  redis.call('XADD', key, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'stage', stage, 'job', job, 'attempt', attempt,
    'worker', worker, 'data', data)
  redis.call('PEXPIRE', key, ttl)
  redis.call('PUBLISH', 'mousetrap:nudge', run)
end

local function open(run, pipeline, stage, input, digest, at, ttl)
  redis.call('DEL', run_key(run), run_key(run) .. ':events')
  redis.call('HSET', run_key(run), 'pipeline', pipeline, 'state', 'queued', 'stage', stage, 'input', input,
    'digest', digest, 'accepted_ms', at, 'updated_ms', at)
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
function transitions.open_run(run, pipeline, stage, input, digest, ttl)
  local known = redis.call('HMGET', run_key(run), 'state', 'pipeline', 'digest', 'accepted_ms')
  if not known[1] or (known[1] == 'rejected' and known[2] == pipeline and known[3] == digest) then
    local at = now_ms()
    open(run, pipeline, stage, input, digest, at, ttl)
    return { 'opened', at }
  end
  if known[2] ~= pipeline or known[3] ~= digest then return { 'conflict', 0 } end
  return { known[1] == 'queued' and 'waiting' or 'known', tonumber(known[4]) }
end

-- The caller was told that the run is not accepted, so a message that did get through must not run it.
function transitions.reject_run(run, why, ttl)
  if redis.call('HGET', run_key(run), 'state') ~= 'queued' then return { 'kept' } end
  change(run, ttl, 'state', 'rejected', 'finished_ms', now_ms())
  tell(run, 'rejected', '', '', 0, '', why, ttl)
  return { 'rejected' }
end

function transitions.claim(job, run, pipeline, stage, attempt, parent, accepted, worker, redelivered, lease, ttl)
  local held = redis.call('HMGET', job_key(job), 'state', 'attempt', 'worker', 'until_ms', 'starts', 'verdict', 'due_ms')
  local state, reached = held[1], tonumber(held[2] or 0)
  local now = now_ms()
  if state == 'done' or state == 'dead' then return { 'decided', held[6] or '', 0 } end
  local run_state = redis.call('HGET', run_key(run), 'state')
  if run_state and ENDED[run_state] then return { 'over' } end
  if reached > attempt then
    if state == 'retrying' then return { 'decided', held[6], math.max(0, tonumber(held[7]) - now) } end
    return { 'over' }
  end
  local same = state == 'running' and reached == attempt
  local mine = held[3] == worker
  if same and not redelivered and not mine and tonumber(held[4]) > now then
    return { 'busy', tonumber(held[4]) - now }
  end
  if not run_state then open(run, pipeline, stage, 'null', '', accepted, ttl) end
  local starts = same and tonumber(held[5]) + (mine and 0 or 1) or 1
  local fence = redis.call('HINCRBY', job_key(job), 'fence', 1)
  redis.call('HSET', job_key(job), 'state', 'running', 'attempt', attempt, 'worker', worker, 'until_ms', now + lease,
    'starts', starts)
  redis.call('HDEL', job_key(job), 'verdict')
  redis.call('PEXPIRE', job_key(job), ttl)
  -- The parent's output has arrived here, so nobody will have to publish it again.
  if parent ~= '' then redis.call('HDEL', job_key(parent), 'verdict') end
  change(run, ttl, 'state', 'running', 'stage', stage)
  tell(run, 'started', stage, job, attempt, worker, '', ttl)
  return { 'granted', fence, starts }
end

-- Lost is what a later claim won, and nothing else: a job that its holder has decided is still its holder's to act on.
function transitions.renew(job, fence, lease, ttl)
  local held = redis.call('HMGET', job_key(job), 'fence', 'state')
  if tonumber(held[1] or 0) ~= fence then return { 'lost' } end
  if held[2] == 'running' then redis.call('HSET', job_key(job), 'until_ms', now_ms() + lease) end
  redis.call('PEXPIRE', job_key(job), ttl)
  return { 'renewed' }
end

-- Only the newest claim may decide; deciding twice under one claim is the same decision heard again.
local function may_decide(job, fence)
  local held = redis.call('HMGET', job_key(job), 'fence', 'state')
  if tonumber(held[1] or 0) ~= fence then return nil, { 'stale' } end
  if held[2] ~= 'running' then return nil, { 'recorded' } end
  return true
end

function transitions.done(job, run, stage, attempt, fence, worker, verdict, ttl)
  local free, reply = may_decide(job, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'done', 'verdict', verdict)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'queued')
  tell(run, 'finished', stage, job, attempt, worker, '', ttl)
  return { 'recorded' }
end

function transitions.complete(job, run, stage, attempt, fence, worker, result, ttl)
  local free, reply = may_decide(job, fence)
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
  local free, reply = may_decide(job, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'retrying', 'attempt', attempt + 1, 'verdict', verdict,
    'due_ms', now_ms() + delay, 'starts', 0)
  redis.call('PEXPIRE', job_key(job), ttl + delay)
  change(run, ttl + delay, 'state', 'retrying')
  tell(run, 'retrying', stage, job, attempt, worker, failure, ttl + delay)
  return { 'recorded' }
end

function transitions.give_up(job, run, stage, attempt, fence, worker, verdict, failure, ttl)
  local free, reply = may_decide(job, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'state', 'dead', 'verdict', verdict)
  redis.call('PEXPIRE', job_key(job), ttl)
  change(run, ttl, 'state', 'failed', 'failure', failure, 'finished_ms', now_ms())
  tell(run, 'gave_up', stage, job, attempt, worker, failure, ttl)
  tell(run, 'failed', '', '', 0, '', '', ttl)
  return { 'recorded' }
end

-- A worker that stops hands an unfinished job back; that start does not count against the job.
function transitions.release(job, run, stage, attempt, fence, worker, ttl)
  local free, reply = may_decide(job, fence)
  if not free then return reply end
  redis.call('HSET', job_key(job), 'until_ms', 0, 'worker', '')
  redis.call('HINCRBY', job_key(job), 'starts', -1)
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
