-- Applies one transition, and registers the library.

-- Transitions that a worker asks for about one job.
local OF_JOBS = { claim = true, begin = true, done = true, retry = true, wait_out = true, give_up = true, distrust = true,
  yield_value = true, survived = true, in_fan = true, open_fan = true, close = true, stall = true }

-- Texts of errors that are caused by what is kept of this one job or its run, and do not pass as a full disk or memory does:
-- a record that is none, a key of another type. Any other error may be over later and buries nothing: rights, a replica.
local DAMAGE = { 'damaged', 'attempt to', 'bad argument', 'not an integer', 'would overflow', 'exhausted the last' }

local function error_text(reason) return tostring(type(reason) == 'table' and reason.err or reason) end

local function is_damage(job, run, text)
  for _, words in ipairs(DAMAGE) do
    if string.find(text, words, 1, true) then return true end
  end
  if not string.find(text, 'WRONGTYPE', 1, true) then return false end
  return not (pcall(redis.call, 'GETRANGE', job_key(run, job), 0, 0)
    and pcall(redis.call, 'GETRANGE', run_key(run), 0, 0) and pcall(redis.call, 'XLEN', events_key(run))
    and are_fans_whole(run, job))
end

-- The server runs nothing else in between, so no other client sees half of a transition. But there is no rollback: one that
-- fails after its first write (a damaged key, no memory) leaves that write. Each is written so that its repeat completes it.
local function apply(_, args)
  now, places, joins, blob = read_clock(), nil, nil, args[2]
  local call = cmsgpack.unpack(args[1])
  local name = table.remove(call, 1)
  local ok, reply = pcall(transitions[name], unpack(call))
  if not ok then
    local text = error_text(reply)
    reply = { OF_JOBS[name] and is_damage(call[1], call[2], text) and 'damaged' or 'error', text }
  end
  return cmsgpack.pack(reply)
end

redis.register_function('NAME', apply)
redis.register_function('NAME_decide', decide)
redis.register_function('NAME_join', join)
redis.register_function('NAME_note_delay', note_delay)
redis.register_function('NAME_unname', unname)
redis.register_function('NAME_take', take)
