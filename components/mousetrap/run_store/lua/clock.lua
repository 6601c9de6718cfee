-- Reads a clock that never runs backwards.

-- Our clock is the server's until that is set back. From there it continues from where it was, ahead of the server's, and a
-- tenth slower until the two agree. What is noted of it (here and by the stream queue, which reads it) outlives the server.
local NOTE_EVERY_MS = 1000
-- The server's time at the last call, how far our clock was ahead of it then, and when that was noted last.
local server_ms, ahead_ms, noted_ms = 0, 0, 0

local function caught_up(by, passed) return math.max(0, by - passed / 10) end

local function note_clock(at)
  local ok, note = pcall(redis.call, 'GET', CLOCK)
  local noted_at, noted_ahead = string.match(ok and note or '', '^(%d+) (%d+)$')
  local their_ms, their_ahead = tonumber(noted_at or 0), tonumber(noted_ahead or 0)
  local theirs = their_ms > at and their_ms - at + their_ahead or caught_up(their_ahead, at - their_ms)
  -- At most a day: a clock that leapt further and came back is not followed for years.
  ahead_ms = math.min(math.max(ahead_ms, theirs), DAY)
  noted_ms = at
  -- A node of a cluster may not have this key: it notes nothing.
  pcall(redis.call, 'SET', CLOCK, string.format('%d %d', at, ahead_ms), 'PX', 2 * DAY)
end

local function read_clock()
  local time = redis.call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  local set_back = at < server_ms
  if set_back then
    ahead_ms = ahead_ms + server_ms - at
  elseif ahead_ms > 0 then
    ahead_ms = caught_up(ahead_ms, at - server_ms)
  end
  if set_back or at - noted_ms >= NOTE_EVERY_MS then note_clock(at) end
  server_ms = at
  return at + math.floor(ahead_ms)
end
