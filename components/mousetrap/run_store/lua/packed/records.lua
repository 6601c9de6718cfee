-- Loads and saves the packed records of runs and jobs.

-- A record: a state byte, of a job the fence as 8 hexadecimal digits, one line of JSON facts, a line feed, and the input or the
-- verdict. Facts are flat: texts, numbers, booleans. run_store/records.py has the same codec.
local RUN_STATES = { Q = 'queued', C = 'completed', F = 'failed', X = 'cancelled', E = 'expired', J = 'rejected' }
local JOB_STATES = { R = 'running', D = 'done', K = 'dead', T = 'retrying', O = 'outage', W = 'waiting', G = 'redriven' }
local HEAD = 9
local RUN_BYTES = { queued = 'Q', completed = 'C', failed = 'F', cancelled = 'X', expired = 'E', rejected = 'J' }
local JOB_BYTES = { running = 'R', done = 'D', dead = 'K', retrying = 'T', outage = 'O', waiting = 'W', redriven = 'G',
  redriving = 'G' }

local function damaged(what) error({ err = 'damaged: ' .. what .. ' is no record' }, 0) end

local function decode_facts(text, what)
  local ok, facts = pcall(cjson.decode, text)
  if not ok or type(facts) ~= 'table' then damaged(what) end
  for name, value in pairs(facts) do
    if type(name) ~= 'string' or type(value) == 'table' or type(value) == 'userdata' then damaged(what) end
  end
  return facts
end

local function decode_run(record)
  local feed = string.find(record, '\n', 2, true)
  local state = RUN_STATES[string.sub(record, 1, 1)]
  if not state or not feed then damaged('the run') end
  return { state = state, facts = decode_facts(string.sub(record, 2, feed - 1), 'the run'),
    input = string.sub(record, feed + 1) }
end

-- A run as { state, facts, input }; nil for an unknown one.
local function load_run(run)
  local record = redis.call('GET', run_key(run))
  return record and decode_run(record) or nil
end

-- The state of a run; nil for an unknown one.
local function run_state(run)
  local byte = redis.call('GETRANGE', run_key(run), 0, 0)
  return byte ~= '' and (RUN_STATES[byte] or damaged('the run')) or nil
end

-- With the record of the job that opened it: without that, its message would run the job once more.
local function keep_fan(run, job, ttl)
  redis.call('PEXPIRE', job_key(run, job), extended(ttl), 'GT')
  redis.call('PEXPIRE', fan_key(run, job), extended(ttl))
  redis.call('PEXPIRE', out_key(run, job), extended(ttl))
  redis.call('PEXPIRE', keys_key(run, job), extended(ttl))
end

-- A run's other keys live as long as its record; and so do the fans that the call's job is in.
local function keep_run(run, ttl)
  for _, place in ipairs(places or {}) do keep_fan(run, place.job, ttl) end
  redis.call('PEXPIRE', run_key(run), extended(ttl))
  redis.call('PEXPIRE', events_key(run), extended(ttl))
  redis.call('PEXPIRE', progress_key(run), extended(ttl))
  redis.call('PEXPIRE', payloads_key(run), extended(ttl))
  pcall(redis.call, 'PEXPIRE', single_payloads_key(run), extended(ttl))  -- of another slot: a cluster has none, and refuses
end

local function write(key, record, ttl)
  if ttl then redis.call('SET', key, record, 'PX', ttl) else redis.call('SET', key, record, 'KEEPTTL') end
end

-- With `ttl` the run is kept for that long from now.
local function save_run(run, held, ttl)
  write(run_key(run), RUN_BYTES[held.state] .. cjson.encode(held.facts) .. '\n' .. held.input, ttl and extended(ttl))
  if ttl then keep_run(run, ttl) end
end

-- A job as { state, fence, facts, verdict, record, before, caught_up }; nil for an unknown one. `before` is what a plain command
-- recorded of it and the timeline does not have; `caught_up` is set once the timeline has all that was recorded before.
local function load_job(run, job)
  local record = redis.call('GET', job_key(run, job))
  if not record then return nil end
  local feed = string.find(record, '\n', HEAD + 1, true)
  local state, fence = JOB_STATES[string.sub(record, 1, 1)], tonumber(string.sub(record, 2, HEAD), 16)
  if not state or not fence then damaged('the job') end
  local facts = decode_facts(string.sub(record, HEAD + 1, (feed or 0) - 1), 'the job')
  if state == 'redriven' and not facts.reopened then state = 'redriving' end
  local before = not facts.logged and { state = state, stage = facts.stage, attempt = facts.attempt or 1,
    worker = facts.worker, claimed_ms = facts.claimed_ms, decided_ms = facts.decided_ms, next = facts.next } or nil
  return { state = state, fence = fence, facts = facts, verdict = feed and string.sub(record, feed + 1) or nil,
    record = record, before = before, caught_up = facts.logged }
end

local function write_job(run, job, held, ttl)
  local record = JOB_BYTES[held.state] .. string.format('%08x', held.fence) .. cjson.encode(held.facts)
  if held.verdict then record = record .. '\n' .. held.verdict end
  write(job_key(run, job), record, ttl)
end

-- The fact `fan` names the job whose children the outermost fan has: it stands for them in the timeline.
local function new_job(stage)
  return { fence = 0, facts = { stage = stage, attempt = 0, starts = 0, generation = 0, fan = places and places[1].job } }
end

local function facts_of(held) return held and held.facts or {} end
