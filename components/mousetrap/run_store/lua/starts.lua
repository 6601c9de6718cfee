-- Counts the workers that began an attempt and may have died.

-- How many there are, and their names as |one|two|. An earlier version kept the number alone: then the newest counts.
local function beginners(job)
  local starts, list, suspect, begun, fence, worker =
    read(job_key(job), 'starts', 'beginners', 'suspect', 'begun', 'fence', 'worker')
  starts = tonumber(starts or 0)
  if list then return starts, list end
  local counts = starts > 0 and (suspect ~= '1' or begun == fence)
  return starts, counts and (worker or '') ~= '' and '|' .. worker .. '|' or '|'
end

-- The same with this worker.
local function with_start(starts, list, worker)
  if string.find(list, '|' .. worker .. '|', 1, true) then return starts, list end
  return starts + 1, list .. worker .. '|'
end

-- However often a worker is known to live, its start is taken back once.
local function take_back(job, worker)
  local starts, list = beginners(job)
  local first, last = string.find(list, '|' .. worker .. '|', 1, true)
  if not first then return end
  list = string.sub(list, 1, first) .. string.sub(list, last + 1)
  redis.call('HSET', job_key(job), 'starts', math.max(0, starts - 1), 'beginners', list)
end

-- While an attempt is under way its starts count; it still is while it waits for a lock, or for an outage to end.
local UNDER_WAY = { running = true, waiting = true, outage = true }

-- A worker that does not have the job any more, and lives, did not die of it.
local function note_alive(job, attempt, worker)
  local state, reached = read(job_key(job), 'state', 'attempt')
  if UNDER_WAY[state] and tonumber(reached) == attempt then take_back(job, worker) end
end
