-- Names the store's keys and decides how long they live.
--
-- Keys, all with a time-to-live:
--   mousetrap:run:<id>              hash    a run: pipeline, state, input, result, failure, progress
--   mousetrap:run:<id>:events       stream  its timeline
--   mousetrap:payloads:<id>         hash    what is too large for its records and messages, by name (component payloads)
--   mousetrap:job:<id>              hash    a job: its holder, its fence, its recorded outcome
--   mousetrap:runs:<day>            zset    runs accepted that day, "<ms>:<id>", all scores 0: ordered by their text
--   mousetrap:runs:<pipeline>:<day>         the same for one pipeline
--   mousetrap:latest:<pipeline>     hash    its newest completed run
--   mousetrap:openings              zset    recorded runs that are not known to be published yet, by time
--   mousetrap:openings:delayed      zset    the same of runs with a delay: an earlier version would publish them without it
--   mousetrap:longest_delay         string  of the runs that are kept, in ms at least: how far back their days' lists go
--   mousetrap:lock:<key>            hash    the job that holds a lock, until when, and the fence of its latest holder
--   mousetrap:clock                 string  the server's time when last noted, and how far our clock was ahead of it
--
-- Python sends many transitions in one call: [[name, argument, ...], ...] in msgpack, and gets a list of replies.
-- run_store/transitions.py declares each transition's arguments; a test compares them with the functions here.
-- These files are one function library: keys, clock, runs, locks, repair, starts, claims, decisions, library, in this order.

local DAY, HOUR = 86400000, 3600000
local OPENINGS, DELAYED_OPENINGS = 'mousetrap:openings', 'mousetrap:openings:delayed'
local LONGEST_DELAY = 'mousetrap:longest_delay'
local CLOCK = 'mousetrap:clock'
-- Channels of notifications, each with a run's id: that it has ended, and that something else of it changed. Earlier versions
-- notify of both on the first, so one who is notified there looks.
local ENDS, CHANGES = 'mousetrap:nudge', 'mousetrap:changes'
-- The states in which a run has ended.
local ENDED = { completed = true, failed = true, rejected = true, cancelled = true, expired = true }
-- Ended from outside: nothing follows from any outcome of such a run's jobs.
local STOPPED = { rejected = true, cancelled = true, expired = true }
-- What a run keeps of the values that its handlers yielded; and how many events, so that these never push others out.
local MOST_VALUES, MOST_VALUE_BYTES, MOST_EVENTS = 1000, 1048576, 3000
-- A job that was started more often than this without an end is a suspect: it runs alone, and each start of it is counted
-- only once it runs.
local STARTS_BESIDE_OTHERS = 2

local function run_key(run) return 'mousetrap:run:' .. run end
-- Runs of wire format 5 have another library, and their records another key.
local function packed_run_key(run) return 'mousetrap:{' .. run .. '}:run' end
local function job_key(job) return 'mousetrap:job:' .. job end
local function lock_key(lock) return 'mousetrap:lock:' .. lock end
local function payloads_key(run) return 'mousetrap:payloads:' .. run end
local function events_key(run) return run_key(run) .. ':events' end

-- The values of a hash's fields, in the order of their names; a missing one is false.
-- Named locals cost what numbers do; a table for every read took the server 6 to 36 % longer per run.
local function read(key, ...) return unpack(redis.call('HMGET', key, ...)) end

-- Set once for all transitions of a call: the time, which is the same throughout a call, and how many subscribe to a channel.
local now
local subscribers = {}

-- To extend a time-to-live is a write like any other. So each is a little longer than needed, and is extended once that
-- little has passed.
local function extended(ttl) return ttl + math.floor(ttl / 64) end
local function due_extension(kept_ms, ttl) return (not kept_ms or now - tonumber(kept_ms) > ttl / 64) and ttl end
