-- Counts the workers that began an attempt and may have died.

-- Their names, as |one|two|; the fact `starts` is their number. A plain claim names its worker alone, as earlier versions did.
local function beginners(held)
  local facts = held.facts
  if facts.beginners then return facts.beginners end
  local counts = (facts.starts or 1) > 0 and (not facts.suspect or facts.begun == held.fence)
  return counts and (facts.worker or '') ~= '' and '|' .. facts.worker .. '|' or '|'
end

local function count_start(held, worker)
  local list = beginners(held)
  if string.find(list, '|' .. worker .. '|', 1, true) then return end
  held.facts.beginners, held.facts.starts = list .. worker .. '|', held.facts.starts + 1
end

-- Whether it was among them: however often a worker is known to live, its start is taken back once.
local function take_back(held, worker)
  local list, facts = beginners(held), held.facts
  local first, last = string.find(list, '|' .. worker .. '|', 1, true)
  if not first then return false end
  facts.beginners = string.sub(list, 1, first) .. string.sub(list, last + 1)
  facts.starts = math.max(0, (facts.starts or 1) - 1)
  return true
end

-- While an attempt is under way its starts count; it still is while it waits for a lock, or for an outage to end.
local UNDER_WAY = { running = true, waiting = true, outage = true }

-- A worker that does not have the job any more, and lives, did not die of it.
local function note_alive(run, job, held, attempt, worker)
  local counts = held and UNDER_WAY[held.state] and (held.facts.attempt or 1) == attempt
  if counts and take_back(held, worker) then save_job(run, job, held) end
end
