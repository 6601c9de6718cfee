-- Names the keys of packed runs and decides how long they live.
--
-- Runs of wire format 5. All keys of a run share its hash tag, so that they are in one slot; all have a time-to-live:
--   mousetrap:{<run>}:run           string  a run: state, facts, input (see records.lua)
--   mousetrap:{<run>}:job:<job>     string  a job: state, fence, facts, verdict
--   mousetrap:{<run>}:events        stream  its timeline up to the last unusual event; the rest follows from the records
--   mousetrap:{<run>}:payloads      hash    in a cluster, what is too large for its records and messages (component payloads)
--   mousetrap:{<run>}:progress      hash    what changes while it goes on: progress, counts of the values that it yielded
--   mousetrap:{<run>}:fan:<job>     hash    the children of a job: how many are opened, decided and lost (see fans.lua)
--   mousetrap:{<run>}:fan:<job>:out string  of each child, how its way ended and with which job
--   mousetrap:{<run>}:fan:<job>:keys hash   the index of each child that has a key
-- Shared by all runs:
--   mousetrap:opened                zset    recorded runs that are not known to be published yet, by time
--   mousetrap:opened:delayed        zset    the same of runs with a delay, whose records have whether they are published
--   mousetrap:newest:<pipeline>     zset    its newest completed runs, by when they were accepted (written by Python alone)
--   mousetrap:limit:*, mousetrap:limits:*  who runs or waits under a limit (see limits.lua)
--   mousetrap:longest_delay, mousetrap:lock:<key>, mousetrap:clock: as the older family has them, and shared with it
--
-- Python sends each transition as a call of its own: [name, argument, ...] in msgpack, and gets one reply. The usual claims and
-- decisions are plain commands, and come here only when they are refused.
-- These files are one function library: keys, ../clock, records, timeline, runs, locks, fans, repair, starts, limits, claims,
-- decisions, library, in this order.

local DAY, HOUR = 86400000, 3600000
local CLOCK = 'mousetrap:clock'
-- Channels of notifications, each with ids of runs: that they have ended, and that something else of them changed.
local ENDS, CHANGES = 'mousetrap:nudge', 'mousetrap:changes'
-- The states in which a run has ended.
local ENDED = { completed = true, failed = true, rejected = true, cancelled = true, expired = true }
-- Ended from outside: nothing follows from any outcome of such a run's jobs.
local STOPPED = { rejected = true, cancelled = true, expired = true }
-- What a run keeps of the values that its handlers yielded; and how many events, so that these never push others out.
local MOST_VALUES, MOST_VALUE_BYTES, MOST_EVENTS = 1000, 1048576, 3000
-- Children of a run that are in its timeline when they are given up: the first ones.
local MOST_LOST = 100
-- A job that was started more often than this without an end is a suspect: it runs alone, and each start of it is counted
-- only once it runs.
local STARTS_BESIDE_OTHERS = 2

local function run_key(run) return 'mousetrap:{' .. run .. '}:run' end
local function job_key(run, job) return 'mousetrap:{' .. run .. '}:job:' .. job end
local function events_key(run) return 'mousetrap:{' .. run .. '}:events' end
local function progress_key(run) return 'mousetrap:{' .. run .. '}:progress' end
local function lock_key(lock) return 'mousetrap:lock:' .. lock end
local function payloads_key(run) return 'mousetrap:{' .. run .. '}:payloads' end
local function fan_key(run, job) return 'mousetrap:{' .. run .. '}:fan:' .. job end
local function out_key(run, job) return fan_key(run, job) .. ':out' end
local function keys_key(run, job) return fan_key(run, job) .. ':keys' end
local function single_payloads_key(run) return 'mousetrap:payloads:' .. run end

-- The id of a job, as `jobs` makes it: a UUID of version 5 in a namespace of ours.
local JOBS = '\111\060\026\082\013\014\090\134\159\011\124\029\046\075\138\144'

local function job_id(run, stage, parent)
  local digest = redis.sha1hex(JOBS .. run .. '|' .. stage .. '|' .. parent)
  local variant = string.format('%x', tonumber(string.sub(digest, 17, 17), 16) % 4 + 8)
  return string.sub(digest, 1, 12) .. '5' .. string.sub(digest, 14, 16) .. variant .. string.sub(digest, 18, 32)
end

-- The values of a hash's fields, in the order of their names; a missing one is false.
local function read(key, ...) return unpack(redis.call('HMGET', key, ...)) end

-- Set once for a call: the time; of a job in fans its places in them, outermost first, each { job, index }, and whether the way
-- through the innermost ends with it; and the bytes that came beside the call.
local now, places, joins, blob

-- As the older family's: a time-to-live is a little longer than asked for, and is extended once that little has passed.
local function extended(ttl) return ttl + math.floor(ttl / 64) end
