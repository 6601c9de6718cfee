-- Applies the transitions of one call, in order, and registers the library.

-- Transitions that a worker asks for about one job.
local OF_JOBS = { claim = true, begin = true, done = true, complete = true, retry = true, wait_out = true, give_up = true,
  distrust = true, yield_value = true, survived = true }

-- Texts of errors that are caused by what is kept of this one job or its run, and do not pass as a full disk or memory does:
-- a key of another type, a field that is no number. Any other error may be over later and buries nothing: rights, a replica.
local DAMAGE = { 'attempt to', 'bad argument', 'not an integer', 'would overflow', 'exhausted the last' }

local function error_text(reason) return tostring(type(reason) == 'table' and reason.err or reason) end

local function is_damage(job, run, text)
  for _, words in ipairs(DAMAGE) do
    if string.find(text, words, 1, true) then return true end
  end
  if not string.find(text, 'WRONGTYPE', 1, true) then return false end
  return not (pcall(redis.call, 'HGET', job_key(job), 'state') and pcall(redis.call, 'HGET', run_key(run), 'state')
    and pcall(redis.call, 'XLEN', events_key(run)))
end

-- The server runs nothing else in between, so no other client sees half of a transition. But there is no rollback: a
-- transition that fails after its first write (a damaged key, no memory) leaves that write. Each is written so that its
-- repeat completes it. One that fails does not stop the others of its call.
local function apply(_, args)
  now = read_clock()
  local counts = redis.call('PUBSUB', 'NUMSUB', ENDS, CHANGES)
  subscribers[ENDS], subscribers[CHANGES] = counts[2], counts[4]
  local replies = {}
  for place, call in ipairs(cmsgpack.unpack(args[1])) do
    local name = table.remove(call, 1)
    local ok, reply = pcall(transitions[name], unpack(call))
    if not ok then
      local text = error_text(reply)
      reply = { OF_JOBS[name] and is_damage(call[1], call[2], text) and 'damaged' or 'error', text }
    end
    replies[place] = reply
  end
  return cmsgpack.pack(replies)
end

redis.register_function('NAME', apply)
